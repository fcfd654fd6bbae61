//! A reward of the user's own: any program that reads pictures and answers numbers.
//!
//! The program is started once, before anything is sampled, and asked over its standard input and output, one JSON document
//! a line. The first request is a probe: one grey picture. A request is
//!
//! ```json
//! {"protocol": 2, "id": 0, "images": ["/tmp/x/0000.png", "/tmp/x/0001.png"], "prompts": ["cat", "dog"]}
//! ```
//!
//! and the answer one line with as many numbers in the same order, higher is better: `{"id": 0, "scores": [0.25, -1.5]}`, or,
//! as in version 1 of the protocol, `[0.25, -1.5]` alone. The pictures are 8-bit RGB PNG files that live until the answer. What
//! the program prints on standard error is passed through, and so is what is no answer on its standard output. With
//! the option `metadata` a request also has `"metadata"`, a list of objects: what the file of prompts says of each. Every request
//! must be answered, each as it comes, within the time that is allowed. When its standard input ends, it should end too; it is
//! killed in any case. In Python:
//!
//! ```python
//! import json, sys
//! for line in sys.stdin:
//!     request = json.loads(line)
//!     print(json.dumps([score(path) for path in request["images"]]), flush=True)
//! ```
//!
//! `docs/guide/own-reward.md` is the same for somebody who writes one, `docs/reference/rewards.md` has every detail.

mod command;
mod factory;
mod lines;
mod process;
mod reward;

pub use command::CommandLine;
pub(crate) use factory::ExecFactory;
pub use factory::ExecOptions;
pub use process::EndedPrograms;
pub use reward::Exec;

/// Ends all programs that run and removes the pictures that they were asked about: for whoever is about to leave the process
/// without dropping anything, as on a signal. Whoever waits for one of them waits on as long as the answer lives.
pub fn end_programs() -> EndedPrograms {
    let ended = process::kill_all();
    crate::files::remove_all();
    ended
}
