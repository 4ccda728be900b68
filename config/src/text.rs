//! Settings that are written as a string and mean more than their text: parsed once, right ever after.

use std::borrow::Cow;
use std::fmt;

use schemars::Schema;
use toml::Spanned;
use toml::de::DeValue;

use crate::reader::{FromToml, Reader};

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextError {
    pub(crate) problem: Cow<'static, str>,
    pub(crate) help: Cow<'static, str>,
}

impl TextError {
    pub(crate) fn new(
        problem: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            problem: problem.into(),
            help: help.into(),
        }
    }

    /// What to write instead.
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for TextError {}

/// A type that is parsed from a string with a check of its own.
pub(crate) trait FromText: Sized {
    /// Code of the fault of a text that is refused.
    const CODE: &'static str;

    /// Parses `text`. The problem is told so that it can follow "`key` is …".
    fn from_text(text: &str) -> Result<Self, TextError>;

    /// The JSON Schema of the strings that may be right.
    fn schema() -> Schema;
}

impl<T: FromText> FromToml for T {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let text = reader.string(value, at)?;
        match T::from_text(text) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let fault = reader.error(T::CODE, value.span(), format!("`{at}` is {error}"));
                reader.report(fault.help(error.help));
                None
            }
        }
    }
}

/// `FromStr` and `JsonSchema` for types that are [`FromText`].
macro_rules! text_types {
    ($($name:ident),*) => { $(
        impl std::str::FromStr for $name {
            type Err = $crate::text::TextError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::text::FromText::from_text(text)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <Self as $crate::text::FromText>::schema()
            }
        }
    )* };
}
pub(crate) use text_types;

/// An enum whose variants are written as words.
macro_rules! choices {
    ($(
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident {
            $( $(#[doc = $variant_doc:literal])* $variant:ident = $word:literal, )*
        }
    )*) => { $(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name {
            $( $(#[doc = $variant_doc])* $variant, )*
        }

        impl $name {
            /// The word for it.
            #[must_use]
            #[allow(dead_code, reason = "some words are only read")]
            $vis fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )*
                }
            }
        }

        impl $crate::text::FromText for $name {
            const CODE: &'static str = $crate::codes::BAD_CHOICE;

            fn from_text(text: &str) -> Result<Self, $crate::text::TextError> {
                const WORDS: &[&str] = &[$($word),*];
                match text {
                    $( $word => Ok(Self::$variant), )*
                    _ => Err($crate::text::TextError::new(
                        "none of the values that it knows",
                        $crate::suggest::help(text, WORDS, "the values are"),
                    )),
                }
            }

            fn schema() -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word),*] })
            }
        }

        $crate::text::text_types!($name);
    )* };
}
pub(crate) use choices;
