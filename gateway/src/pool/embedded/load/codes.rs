//! The stable codes of a load file's faults. A code never changes its meaning and is never used again for another.

macro_rules! codes {
    ($( $name:ident = $code:literal, $title:literal; )*) => {
        $( #[doc = $title] pub(super) const $name: &str = $code; )*

        /// Every code of a load file's faults with what it says, for the documentation.
        pub const LOAD_CODES: &[(&str, &str)] = &[ $( ($code, $title), )* ];
    };
}

codes! {
    UNREADABLE = "HP001", "The file cannot be read.";
    SYNTAX = "HP002", "The text is not TOML.";
    UNKNOWN_KEY = "HP003", "No such key in this table.";
    WRONG_TYPE = "HP004", "The value has another type than the key needs.";
    MISSING_KEY = "HP005", "The table lacks a key that it must have.";
    BAD_VALUE = "HP006", "The value is none that the key can have.";
    DUPLICATE = "HP007", "Two categories or rooms have one name or identifier.";
    UNKNOWN_CATEGORY = "HP008", "Neither the file nor the pool has this category.";
    NOT_ADMITTED = "HP009", "The user cannot get into the room: its category or its lists are against it.";
    NAME_TAKEN = "HP010", "Another room of the pool has this name.";
    TIME_ORDER = "HP011", "A message is earlier than the one before it.";
    NO_EFFECT = "HP012", "The value has no effect (warning).";
}
