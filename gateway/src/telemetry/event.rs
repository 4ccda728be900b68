//! What an event is, and the macro that declares one.

use tracing::Level;

use super::Telemetry;
use super::catalogue::Kind;
use super::label::{Label, LabelPairs};
use super::metrics::Instruments;
use super::rate::Source;

/// What operators are told about an event; `docs/events.md` is made of these.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The message of the log line, `<thing>.<what happened>`.
    pub name: &'static str,
    /// Level of the log line. `INFO`: something an operator did or waits for; `WARN`: odd, but coped with; `ERROR`: someone
    /// must act; `DEBUG`: the daily business of clients.
    pub level: Level,
    /// Name of the counter.
    pub counter: &'static str,
    /// The fields of the log line.
    pub fields: &'static [&'static str],
    /// What happened and, where it is not plain, what to do.
    pub explanation: &'static str,
    /// The counter's time series and what each value means.
    pub series: fn() -> Vec<(LabelPairs, &'static str)>,
}

/// An event that can be told.
pub trait Emit {
    /// What it is.
    const ABOUT: About;
    /// Its place in the closed set.
    const KIND: Kind;
    /// What its counter is split by.
    type Label: Label;

    /// The value of the label.
    fn label(&self) -> Self::Label;

    /// Writes the log line.
    fn log(&self);

    /// Moves what is not a counter.
    fn measure(&self, _instruments: &Instruments) {}

    /// Whether log lines of this kind are wanted at all.
    fn is_logged() -> bool;

    /// Who caused it, if that is somebody outside.
    fn source(&self) -> Option<Source>;

    /// Counts the event and writes its log line, unless its source has caused too many of them.
    fn emit(&self, telemetry: &Telemetry) {
        telemetry.count(Self::KIND, self.label().index());
        self.measure(telemetry.instruments());
        if Self::is_logged() && telemetry.admits(self.source(), Self::KIND) {
            self.log();
        }
    }
}

/// The time series of a label, for [`About::series`].
pub(super) fn series<L: Label>() -> Vec<(LabelPairs, &'static str)> {
    L::ALL
        .iter()
        .map(|label| (label.pairs(), label.meaning()))
        .collect()
}

/// Declares an event: the struct, its log line, its counter and what operators are told about it.
///
/// Each field says under which name it is logged. `by` names the field that splits the counter.
macro_rules! event {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty => $($key:ident).+,)*
        }
        $level:ident $event:literal, counted as $counter:literal $(by $label:ident: $label_type:ty)?;
        $(measured |$this:pat_param, $instruments:ident| $measure:expr;)?
        $explanation:literal
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[doc = $field_doc])+ pub $field: $type,)*
        }

        impl $crate::telemetry::Emit for $name {
            const ABOUT: $crate::telemetry::About = $crate::telemetry::About {
                name: $event,
                level: tracing::Level::$level,
                counter: concat!("holdover_", $counter, "_total"),
                fields: &[$(stringify!($($key).+)),*],
                explanation: $explanation,
                series: $crate::telemetry::event::series::<Self::Label>,
            };
            const KIND: $crate::telemetry::catalogue::Kind =
                $crate::telemetry::catalogue::Kind::$name;
            type Label = $crate::telemetry::event::event!(@label $($label_type)?);

            fn label(&self) -> Self::Label {
                $(self.$label)?
            }

            fn is_logged() -> bool {
                tracing::enabled!(target: "holdover", tracing::Level::$level)
            }

            fn source(&self) -> Option<$crate::telemetry::Source> {
                let named: &[Option<$crate::telemetry::Source>] =
                    &[$($crate::telemetry::Field::source(&self.$field)),*];
                named.iter().flatten().max_by_key(|source| source.rank()).cloned()
            }

            fn log(&self) {
                tracing::event!(
                    target: "holdover",
                    tracing::Level::$level,
                    $($($key).+ = $crate::telemetry::Field::value(&self.$field),)*
                    $event
                );
            }

            $(
                fn measure(&self, $instruments: &$crate::telemetry::Instruments) {
                    let $this = self;
                    $measure;
                }
            )?
        }
    };
    (@label) => { () };
    (@label $type:ty) => { $type };
}

pub(super) use event;
