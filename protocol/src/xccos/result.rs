//! How a command ended: the one table of result codes.

use std::borrow::Cow;

/// The result of a command: `resp/@code` and the text in `resp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// 200 is success. Clients test nothing else.
    pub code: u16,
    /// The token of the code, or a sentence: clients show it to the user when the code is not 200.
    pub text: Cow<'static, str>,
}

impl Outcome {
    /// A result with a text of its own instead of the token.
    pub fn new(code: ResultCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.code(),
            text: text.into(),
        }
    }

    /// True for code 200.
    pub fn is_success(&self) -> bool {
        self.code == ResultCode::Success.code()
    }
}

impl From<ResultCode> for Outcome {
    fn from(code: ResultCode) -> Self {
        Self::new(code, code.token())
    }
}

macro_rules! result_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $token:literal;)*) => {
        /// The result codes we send.
        ///
        /// Only 200 was ever captured. The others follow HTTP in their numbers and the names of the old SDK in their
        /// tokens; should the true values become known, this table is the place for them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ResultCode {
            $($(#[$doc])* $name,)*
        }

        impl ResultCode {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The number.
            pub const fn code(self) -> u16 {
                match self { $(Self::$name => $code,)* }
            }

            /// The upper-case name that stands in `resp` and in `fib/@key`.
            pub const fn token(self) -> &'static str {
                match self { $(Self::$name => $token,)* }
            }
        }
    };
}

result_codes! {
    /// Done.
    Success = 200, "SUCCESS_OK";
    /// The command is there, what it says makes no sense.
    InvalidArgument = 400, "INVALID_ARGUMENT";
    /// The user may not do this.
    Permission = 403, "ERROR_PERMISSION";
    /// There is no such room or category.
    NoSuchNode = 404, "NO_SUCH_NODE";
    /// A room of this name exists.
    DuplicateRoomName = 409, "DUPLICATE_ROOM_NAME";
    /// The room is closed for good.
    NodeDisabled = 410, "NODE_DISABLED";
    /// More than the server takes at once.
    LimitExceeded = 413, "LIMIT_EXCEEDED";
    /// The server failed, and it is not the user's fault.
    ServerError = 500, "SERVER_ERROR";
    /// The server does not know the command.
    NotSupported = 501, "MSG_NOT_SUPPORTED";
    /// Not now; later perhaps.
    Unavailable = 503, "SERVICE_UNAVAILABLE";
    /// A server behind this one did not answer in time.
    Timeout = 504, "SERVER_TIMEOUT";
}

/// `fib/@key` for a room that could not be served inside an otherwise good reply: the only one ever seen.
pub const OPERATION_FAILED: &str = "OPERATION_FAILED";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_tokens_are_unique_and_in_order() {
        for pair in ResultCode::ALL.windows(2) {
            assert!(pair[0].code() < pair[1].code());
        }
        let mut tokens: Vec<_> = ResultCode::ALL.iter().map(|code| code.token()).collect();
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), ResultCode::ALL.len());
    }

    #[test]
    fn only_200_is_success() {
        assert!(Outcome::from(ResultCode::Success).is_success());
        assert_eq!(Outcome::from(ResultCode::Success).text, "SUCCESS_OK");
        for code in &ResultCode::ALL[1..] {
            assert!(!Outcome::from(*code).is_success());
        }
    }
}
