//! Why a server did not answer.

use std::time::Duration;

/// Why a server did not give what was asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WebFailure {
    /// There is no connection.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// There was no whole answer in the time allowed, which the sending of the request is a part of.
    #[error("no whole answer within {0} s")]
    Timeout(u64),
    /// The connection ended before the answer did.
    #[error("the answer broke off: {0}")]
    BrokenOff(String),
    /// The server refused.
    #[error("it answered with status {status}{}", if body.is_empty() { String::new() } else { format!(": `{body}`") })]
    Status {
        /// The number.
        status: u16,
        /// How the body begins.
        body: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// The answer is larger than any answer is.
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
    /// The answer is not what the protocol says.
    #[error("`{found}` found, {wanted} wanted")]
    Answer {
        /// How it begins.
        found: String,
        /// What it should be.
        wanted: String,
    },
    /// An answer to another request.
    #[error("an answer to request {found} found, to request {wanted} wanted (`id` of both)")]
    WrongRequest {
        /// The request that was answered.
        found: u64,
        /// The request that was asked.
        wanted: u64,
    },
    /// The server says that it could not.
    #[error("it says `{0}`")]
    Refused(String),
    /// Encryption that this processor cannot do.
    #[error("encrypted connections need a processor with AES, PCLMULQDQ, BMI1, ADX and AVX2 instructions")]
    NoEncryption,
}

impl WebFailure {
    /// Whether the same request would fail again: whoever asks need not wait and try.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Status { status, .. } => !matches!(status, 408 | 425 | 429 | 500..),
            Self::NoEncryption => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_refuses_for_good_is_not_asked_again() {
        let status = |status| WebFailure::Status { status, body: String::new(), retry_after: None }.is_permanent();
        assert!([400, 401, 403, 404, 413, 302].into_iter().all(status));
        assert!(![408, 429, 500, 502, 503, 504].into_iter().any(status));
        assert!(!WebFailure::Timeout(3).is_permanent() && !WebFailure::BrokenOff(String::new()).is_permanent());
    }
}
