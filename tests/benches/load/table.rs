//! What was measured, beside each other.

use crate::options::Box;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// INFO requests a second, relayed with their answers.
    Rate,
    /// Processor time for each of them.
    Processor,
    /// From posting to having the post back.
    Median,
    /// See `Median`.
    Late,
    /// See `Median`.
    Latest,
    /// For each session.
    Memory,
}

impl Column {
    pub(crate) const COUNT: usize = 6;

    fn title(self) -> &'static str {
        match self {
            Self::Rate => "INFO/s",
            Self::Processor => "CPU us/INFO",
            Self::Median => "p50 us",
            Self::Late => "p99 us",
            Self::Latest => "p99.9 us",
            Self::Memory => "KiB/session",
        }
    }

    /// Whether more of it is better.
    fn is_gain(self) -> bool {
        self == Self::Rate
    }

    fn decimals(self) -> usize {
        match self {
            Self::Processor | Self::Memory => 1,
            Self::Rate | Self::Median | Self::Late | Self::Latest => 0,
        }
    }
}

/// What one of the compared things came to.
pub(crate) struct Row {
    kind: Box,
    values: Option<[f64; Column::COUNT]>,
}

impl Row {
    pub(crate) fn new(kind: Box) -> Self {
        Self { kind, values: None }
    }

    /// Keeps the better of what was measured before and this: the most messages, the least of everything else.
    pub(crate) fn keep(&mut self, new: [f64; Column::COUNT]) {
        let Some(values) = &mut self.values else {
            self.values = Some(new);
            return;
        };
        for (at, (value, new)) in values.iter_mut().zip(new).enumerate() {
            *value = if at == Column::Rate as usize {
                value.max(new)
            } else {
                value.min(new)
            };
        }
    }

    fn value(&self, column: Column) -> f64 {
        let value = self
            .values
            .and_then(|values| values.get(column as usize).copied());
        value.unwrap_or_default()
    }
}

/// How much worse than the build beside it this one may be.
const WORSE: f64 = 0.03;

/// Prints a table, and Holdover's ratio to each of the others below it. What is worse than the build beside it is said.
pub(crate) fn print(about: &str, columns: &[Column], rows: &[Row]) {
    println!("\n{about}");
    print!("{:<32}", "");
    for column in columns {
        print!("{:>14}", column.title());
    }
    println!();
    for row in rows {
        print!("{:<32}", row.kind.name());
        for &column in columns {
            match row.value(column) {
                0.0 => print!("{:>14}", "-"),
                value => print!("{value:>14.0$}", column.decimals()),
            }
        }
        println!();
    }
    let Some(ours) = rows.iter().find(|row| row.kind == Box::Holdover) else {
        return;
    };
    for other in rows.iter().filter(|row| row.kind != Box::Holdover) {
        print!("{:<32}", format!("holdover / {}", other.kind.name()));
        for &column in columns {
            match other.value(column) {
                0.0 => print!("{:>14}", "-"),
                value => print!("{:>14.3}", ours.value(column) / value),
            }
        }
        println!();
    }
    let Some(beside) = rows.iter().find(|row| row.kind == Box::Beside) else {
        return;
    };
    for &column in columns {
        let ratio = ours.value(column) / beside.value(column);
        let worse = if column.is_gain() { 1.0 / ratio } else { ratio } - 1.0;
        if worse > WORSE {
            println!(
                "!! {} is worse than beside by {:.1} %",
                column.title(),
                worse * 100.0
            );
        }
    }
}
