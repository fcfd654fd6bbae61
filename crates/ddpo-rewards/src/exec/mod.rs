//! A reward of the user's own: any program that reads pictures and answers numbers.
//!
//! The program is started once, at the first batch, and asked over its standard input and output, one JSON document a
//! line. A request is
//!
//! ```json
//! {"images": ["/tmp/x/0000.png", "/tmp/x/0001.png"], "prompts": ["cat", "dog"]}
//! ```
//!
//! and the answer one line with as many numbers, higher is better: `[0.25, -1.5]`. The pictures are 8-bit RGB PNG files
//! that live until the answer. What the program prints on standard error is passed through. When its standard input
//! ends, it should end too. In Python:
//!
//! ```python
//! import json, sys
//! for line in sys.stdin:
//!     request = json.loads(line)
//!     print(json.dumps([score(path) for path in request["images"]]), flush=True)
//! ```

mod process;
mod protocol;
mod reward;

pub use protocol::answer;
pub use reward::Exec;
