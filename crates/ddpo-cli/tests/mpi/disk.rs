//! A disk that fails under the rank that writes.

use super::launcher::start;
use super::runs::fault::{EIO, ENOSPC, calls_of, faulty};
use super::*;

#[test]
fn a_failing_disk_ends_all_ranks_or_none_and_costs_no_byte() {
    let of = |name: &str| PLACE.path().join(format!("disk-{name}"));
    if mpirun(1, &Command::new("true")).is_none() {
        return;
    }
    let whole = of("whole");
    let calls = calls_of(shared_out("ddpo-is", &whole), &whole);
    let wanted = product(&whole);
    // A full disk in the middle and to the end, the same before there is anything, and one call that fails.
    for (name, at, count, errno) in
        [("full", calls / 2, 0, ENOSPC), ("full-at-once", 2, 0, ENOSPC), ("once", calls / 3, 1, EIO)]
    {
        let run = of(name);
        let (status, words) =
            start(mpirun(2, &faulty(shared_out("ddpo-is", &run), &run, at, count, errno)).unwrap()).end();
        assert!(!words.contains("panicked"), "{name}: {words}");
        if name == "full" {
            assert!(!status.success() && words.contains("warning: "), "{words}");
            assert!(words.contains("hint: free some space, then go on with `ddpo train --resume "), "{words}");
        }
        match status.success() {
            // It has made up for what failed.
            true => check_same(&run, &wanted, name),
            false => assert_eq!(words.matches("error: ").count(), 1, "{name}: one rank says why: {words}"),
        }
        let on = if run.join("config.toml").exists() { resume(&run) } else { shared_out("ddpo-is", &run) };
        check_ended_well(mpirun(2, &on).unwrap());
        check_same(&run, &wanted, name);
    }
}
