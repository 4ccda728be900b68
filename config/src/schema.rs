//! The JSON Schema of the configuration, for editors.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::raw;

/// The JSON Schema (2020-12) of a configuration file. It knows every table and key with documentation, type, bounds and
/// default; what needs more than one value to be judged only [`parse`](crate::parse) knows.
pub fn json_schema() -> Value {
    schema_of::<raw::Root>()
}

/// The JSON Schema of a file of rules in the folder `rules.d`.
pub fn rules_json_schema() -> Value {
    schema_of::<raw::rules::RuleRoot>()
}

/// The JSON Schema of a file that is read as a `T`.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>();
    schema.to_value()
}
