//! Labels: the closed sets of values that split a counter.

/// The name and value of each label of one time series.
pub type LabelPairs = Vec<(&'static str, &'static str)>;

/// A closed set of label values. A counter split by it has one time series per value, all known from the start.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const ALL: &'static [Self];

    /// Position in [`Label::ALL`].
    fn index(self) -> usize;

    /// The value as logs show it.
    fn text(self) -> &'static str;

    /// The value as metrics show it.
    fn pairs(self) -> LabelPairs;

    /// What the value means, for operators.
    fn meaning(self) -> &'static str;
}

/// No label: a counter with one time series.
impl Label for () {
    const ALL: &'static [Self] = &[()];

    fn index(self) -> usize {
        0
    }

    fn text(self) -> &'static str {
        ""
    }

    fn pairs(self) -> LabelPairs {
        Vec::new()
    }

    fn meaning(self) -> &'static str {
        ""
    }
}

/// Declares a label: an enum whose values carry their text and, as their doc comment, their meaning.
macro_rules! label {
    (
        $(#[doc = $doc:literal])+
        $name:ident as $key:literal {
            $($(#[doc = $meaning:literal])+ $value:ident = $text:literal,)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $meaning])+ $value,)+
        }

        impl $crate::telemetry::Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value),+];

            fn index(self) -> usize {
                self as usize
            }

            fn text(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }

            fn pairs(self) -> $crate::telemetry::LabelPairs {
                vec![($key, self.text())]
            }

            fn meaning(self) -> &'static str {
                match self {
                    $(Self::$value => concat!($($meaning),+).trim_ascii_start(),)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::telemetry::Label::text(*self))
            }
        }

        impl $crate::telemetry::Field for $name {
            fn value(&self) -> impl tracing::Value + '_ {
                $crate::telemetry::Label::text(*self)
            }
        }
    };
}

pub(super) use label;
