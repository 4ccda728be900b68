//! Changes of the configuration while the program runs, and their record.

use std::time::Duration;

use jiff::Timestamp;

use crate::telemetry::Detail;
use crate::telemetry::event::event;

event! {
    /// A reload ended by a fault of the program.
    ReloadFailed {
        /// The generation that goes on.
        generation: u64 => generation,
        /// Who asked for it.
        who: Detail => who,
    }
    ERROR "config.reload-failed", counted as "config_reload_failures";
    measured |_, instruments| instruments.config_last_reload_successful.set(0);
    "A fault of the program ended a reload; `process.panicked` says where. What was in use goes on. The next reload reads everything \
     anew and puts it in use, also if it is what was in use before."
}

event! {
    /// A changed configuration is in use.
    ConfigApplied {
        /// Its generation.
        generation: u64 => generation,
        /// Its hash.
        hash: Detail => hash,
        /// Who asked for it.
        who: Detail => who,
        /// From the first look at the files until it was in use.
        took: Duration => seconds,
    }
    INFO "config.applied", counted as "config_applied";
    measured |event, instruments| {
        instruments.config_generation.set(i64::try_from(event.generation).unwrap_or(i64::MAX));
        instruments.config_last_reload_successful.set(1);
        instruments.config_last_success.set(Timestamp::now().as_second());
    };
    "A changed configuration was found right and is in use. Running sessions follow it with their next step."
}

event! {
    /// A changed configuration is at fault.
    ConfigRejected {
        /// The generation that goes on.
        generation: u64 => generation,
        /// Number of faults.
        faults: usize => faults,
        /// The first of them.
        first: Detail => fault,
        /// Who asked for it.
        who: Detail => who,
    }
    ERROR "config.rejected", counted as "config_rejected";
    measured |_, instruments| instruments.config_last_reload_successful.set(0);
    "A changed configuration is at fault and nothing changed: the generation before it goes on. `holdover check` and `/v1/config` show every fault. Correct the files; they are read again when they change."
}

event! {
    /// A reload does not come to an end.
    ConfigStalled {
        /// The generation that goes on.
        generation: u64 => generation,
        /// How long it has taken so far.
        after: Duration => seconds,
    }
    ERROR "config.stalled", counted as "config_stalled";
    measured |_, instruments| instruments.config_last_reload_successful.set(0);
    "The files of the configuration could not be read to their end in time: the disk or network share does not answer. The generation before goes on; reloads are refused until the files can be read."
}

event! {
    /// A reload was asked for and there was nothing to do.
    ConfigUnchanged {
        /// The generation in use.
        generation: u64 => generation,
        /// Who asked for it.
        who: Detail => who,
    }
    INFO "config.unchanged", counted as "config_unchanged";
    measured |_, instruments| {
        instruments.config_last_reload_successful.set(1);
        instruments.config_last_success.set(Timestamp::now().as_second());
    };
    "The configuration was read again and says what is in use already."
}

event! {
    /// A folder cannot be watched.
    WatchFailed {
        /// The folder.
        folder: Detail => folder,
        /// Why not.
        error: Detail => error,
    }
    WARN "watch.failed", counted as "watch_failures";
    "The system does not tell about changes in a folder. Files are looked at every `poll_secs` instead. Raise the system's limit of watches (`fs.inotify.max_user_watches`), or set `watch = \"poll\"` if the folder is on a network share."
}

event! {
    /// A generation could not be kept.
    HistoryFailed {
        /// The generation.
        generation: u64 => generation,
        /// Why not.
        error: Detail => error,
    }
    WARN "history.failed", counted as "history_failures";
    "A generation is in use but not in the history, so nobody can go back to it. Make room, or give Holdover the right to write the folder of `[history]`; `keep = 0` keeps nothing."
}

event! {
    /// An act was added to the audit file.
    AuditRecorded {
        /// Its number.
        n: u64 => audit.record,
        /// Its hash.
        hash: Detail => hash,
        /// Octets of a line cut short by a crash that were removed before.
        torn: Option<u64> => audit.torn,
    }
    INFO "audit.recorded", counted as "audit_records";
    "An act is in the audit file. Kept elsewhere, the number and the hash vouch for the file up to here: `holdover audit verify` prints the last one. `audit.torn`: a crash had cut the last line short; those octets were removed."
}

event! {
    /// The audit file is not as it was left.
    AuditTampered {
        /// Number of the record that says so.
        n: u64 => audit.record,
        /// What is wrong.
        what: Detail => fault,
    }
    ERROR "audit.tampered", counted as "audit_tampered";
    "What was written to the audit file is not there any more. The record of this number says so for good. Find out who can write the file."
}

event! {
    /// An act could not be added to the audit file.
    AuditFailed {
        /// The file.
        file: Detail => file,
        /// Why not.
        error: Detail => error,
    }
    ERROR "audit.failed", counted as "audit_failures";
    "An act is not in the audit file, because that cannot be written. The act itself was carried out; the events beside this one say what it was. Make room, or give Holdover the right to write."
}
