//! Calls to the file system that fail, by a library which is loaded before the C library's.

use super::runs::fault::{EIO, ENOSPC, calls_of, faulty};
use super::*;

/// How many calls a run of each algorithm makes.
static CALLS: LazyLock<[u64; ALGORITHMS.len()]> = LazyLock::new(|| {
    ALGORITHMS.map(|algorithm| {
        let run = PLACE.path().join(format!("counted-{algorithm}"));
        calls_of(train(algorithm, &run), &run)
    })
});

#[test]
fn a_failing_disk_costs_no_byte() {
    let calls = *CALLS;
    assert!(calls.iter().all(|&calls| calls > 50), "{calls:?}");
    let (tries, mut finished) = (tries("FAULT_WRITES", 6), 0);
    for seed in 0..tries {
        let which = seed as usize % 4;
        let (algorithm, reference) = (ALGORITHMS[which], &REFERENCES[which]);
        let at = 1 + random(seed) % calls[which];
        // One call, a few in a row, or the disk is gone for good.
        let count = [1, 4, 0][(random(seed + 1_000_000) % 3) as usize];
        let errno = [ENOSPC, EIO][(random(seed + 2_000_000) % 2) as usize];
        let what = format!("seed {seed}, {algorithm}, {count} calls from {at} of {} on, error {errno}", calls[which]);
        let run = PLACE.path().join(format!("faulty-{seed}"));
        let output = faulty(train(algorithm, &run), &run, at, count, errno).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("panicked"), "{what}: {text}");
        match output.status.code() {
            // It has made up for what failed.
            Some(0) => {
                finished += 1;
                check_same(&run, reference, &format!("{what}, at once"));
            }
            Some(1) => assert!(text.contains("os error"), "{what}: {text}"),
            other => panic!("{what}: exit code {other:?}: {text}"),
        }
        check_done(&resume(algorithm, &run));
        check_same(&run, reference, &what);
        std::fs::remove_dir_all(&run).unwrap();
    }
    println!(
        "{tries} faults among {calls:?} calls; {finished} runs went on to their end, {} stopped",
        tries - finished
    );
}

#[test]
fn a_full_disk_is_warned_of_while_the_run_goes_on_and_ends_it_with_a_hint() {
    let run = PLACE.path().join("full");
    let output = faulty(train("ddpo-is", &run), &run, CALLS[0] / 2, 0, ENOSPC).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("warning: ") && text.contains("No space left on device"), "{text}");
    assert!(text.contains("hint: free some space, then go on with `ddpo train --resume "), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert!(std::fs::read_dir(run.join("checkpoints")).unwrap().count() > 0);
}
