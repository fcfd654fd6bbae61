//! The same bytes whatever the number of threads, and on every day: the reference runs against what is committed.

use super::*;

/// Checksums of the adapters of [`ALGORITHMS`]. Sums are added up in the order of the vector unit, so each has its own; the
/// exponential and its kin are the system's, hence the system's name. A change of kernels changes these numbers, and a
/// line in the changelog says so.
const GOLDEN: [(&str, [u32; 11]); 1] = [(
    "linux-gnu x86_64 avx512f",
    [
        3_886_226_296,
        172_646_605,
        2_146_432_982,
        121_809_745,
        2_678_484_944,
        379_371_157,
        2_166_138_764,
        274_370_871,
        2_224_000_375,
        1_038_129_418,
        269_184_399,
    ],
)];

fn machine() -> &'static str {
    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
    if std::is_x86_feature_detected!("avx512f") {
        return "linux-gnu x86_64 avx512f";
    }
    "another"
}

#[test]
fn a_run_of_another_day_has_the_same_bytes() {
    let adapter = Path::new("pytorch_lora_weights.safetensors");
    let found = REFERENCES.each_ref().map(|reference| crc32fast::hash(&reference.product[adapter]));
    match GOLDEN.iter().find(|(name, _)| *name == machine()) {
        Some((_, wanted)) => assert_eq!(found, *wanted, "on {}", machine()),
        None => println!("nothing is committed for this machine, which has {found:?}"),
    }
}

#[test]
fn the_number_of_threads_changes_no_byte_of_any_algorithm() {
    for (algorithm, reference) in ALGORITHMS.iter().zip(&*REFERENCES) {
        for threads in ["1", "2", "3"] {
            let run = PLACE.path().join(format!("{algorithm}-{threads}"));
            check_done(&train(algorithm, &run).args(["--set", &format!("run.threads={threads}")]).output().unwrap());
            check_same(&run, reference, &format!("{algorithm}, {threads} threads"));
        }
    }
}
