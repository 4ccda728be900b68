//! Raw values that are neither tables nor texts.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::Spanned;
use toml::de::DeValue;

use super::{DigestTable, SignInTable};
use crate::codes;
use crate::reader::{FromToml, Int, Key, List, Reader};
use crate::text::choices;

choices! {
    /// A `sign_in` that is a word.
    pub(crate) enum SignInWord {
        /// Everyone is who they say they are.
        Open = "open",
    }

    /// What `unlisted` may say.
    pub(crate) enum UnlistedWord {
        /// Looked for under the identifier that the client knows.
        SameId = "same-id",
        /// Refused.
        Refuse = "refuse",
    }
}

/// `"open"` or `{ digest = { … } }`.
#[derive(Debug)]
pub(crate) enum SignIn {
    Open,
    Digest(Key<DigestTable>),
}

impl FromToml for SignIn {
    fn read(value: &Spanned<DeValue<'_>>, at: &str, reader: &mut Reader<'_>) -> Option<Self> {
        const EXPECTED: &str = "`\"open\"` or `{ digest = { users = \"…\" } }`";
        match value.get_ref() {
            DeValue::String(word) if word == "digest" => {
                let fault = reader.error(
                    codes::WRONG_TYPE,
                    value.span(),
                    format!("`{at}` must say where its users are"),
                );
                reader.report(fault.help("write `{ digest = { users = \"users.toml\" } }`"));
                None
            }
            DeValue::String(_) => {
                SignInWord::read(value, at, reader).map(|SignInWord::Open| Self::Open)
            }
            DeValue::Table(_) => {
                SignInTable::read(value, at, reader).map(|table| Self::Digest(table.digest))
            }
            _ => reader.wrong_type(value, at, EXPECTED),
        }
    }
}

impl JsonSchema for SignIn {
    fn schema_name() -> Cow<'static, str> {
        "SignIn".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<SignInWord>();
        let table = generator.subschema_for::<SignInTable>();
        json_schema!({ "oneOf": [word, table] })
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("List_of_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> JsonSchema for Int<MIN, MAX, DEFAULT> {
    fn schema_name() -> Cow<'static, str> {
        "Int".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX, "default": DEFAULT })
    }
}
