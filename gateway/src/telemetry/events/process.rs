//! The process and what it was given to read.

use std::time::Duration;

use jiff::Timestamp;

use crate::telemetry::Detail;
use crate::telemetry::event::event;

event! {
    /// The program started.
    ProcessStarted {
        /// Version of the program.
        version: &'static str => version,
    }
    INFO "process.started", counted as "process_started";
    "The program started and is about to read its configuration."
}

event! {
    /// The gateway takes clients.
    ProcessReady {
        /// Time since the start.
        took: Duration => seconds,
    }
    INFO "process.ready", counted as "process_ready";
    measured |_, instruments| instruments.ready.set(1);
    "Everything is open and new clients are taken. `/readyz` answers 200 as long as nothing is missing that it names."
}

event! {
    /// The gateway is going down.
    ProcessDraining {
        /// Sessions still open.
        sessions: usize => sessions,
    }
    INFO "process.draining", counted as "process_draining";
    measured |_, instruments| instruments.ready.set(0);
    "The program was told to stop. New clients are refused and what is in flight is finished. `/readyz` answers 503."
}

event! {
    /// The program ends.
    ProcessStopped {
        /// Sessions that were cut off because they did not finish in time.
        cut: usize => sessions.cut,
    }
    INFO "process.stopped", counted as "process_stopped";
    "The program ends. `sessions.cut` sessions did not finish in time; their clients sign in again by themselves."
}

event! {
    /// A thread of the program panicked.
    ProcessPanicked {
        /// The thread.
        thread: Detail => thread,
        /// File and line of the source.
        place: Detail => place,
    }
    ERROR "process.panicked", counted as "panics";
    "A fault of the program stopped what one of its threads was at. What depended on it ended; everything else goes on, and \
     `/readyz` says if something is missing. Please report it with the place. The text of the panic is left out, as it could hold \
     what a user wrote."
}

event! {
    /// Something that the gateway needs does not work.
    ConditionFailed {
        /// Its name in `/readyz`.
        condition: Detail => condition,
        /// Whether the gateway is not ready without it.
        required: bool => required,
        /// What does not work.
        reason: Detail => reason,
    }
    ERROR "condition.failed", counted as "conditions_failed";
    "Something that the gateway depends on does not work: a pool, the disk of a database, reloads. `/readyz` shows all of it, and \
     answers 503 while something is missing that is required. It is looked at every second."
}

event! {
    /// Something that the gateway needs works again.
    ConditionMet {
        /// Its name in `/readyz`.
        condition: Detail => condition,
    }
    INFO "condition.met", counted as "conditions_met";
    "What `condition.failed` told works again."
}

event! {
    /// The process may have too few files open.
    DescriptorsLacking {
        /// Files that it may have open, connections included.
        limit: usize => limit,
        /// Connections that it takes at most.
        usable: usize => usable,
        /// Connections that the configuration allows.
        connections: usize => connections,
    }
    WARN "process.descriptors-lacking", counted as "descriptor_lacks";
    "The system allows this process fewer open files than the connections of its configuration need, although it raised the \
     limit as far as it may. Connections beyond `usable` are refused; the rest is for pools, files and the admin server. Raise the \
     hard limit (`LimitNOFILE=` of systemd, `ulimit -Hn`), or lower `connections` in `[limits]`."
}

event! {
    /// Log lines could not be written.
    LogDropped {
        /// Number of them since the last such line.
        lines: u64 => lines,
    }
    WARN "log.dropped", counted as "log_dropped";
    "Whoever reads the log did not read it fast enough, or not at all. Nothing waits for the log, so lines beyond 2 MiB were \
     dropped. The counter moves with each line at once; this event follows when there is room again."
}

event! {
    /// One source caused too many log lines.
    LogSuppressed {
        /// Name of the event.
        event: &'static str => event,
        /// The address of a peer, a user, or a pool.
        source: Detail => source,
        /// Number of lines that were not written since the last such line.
        lines: u64 => lines,
    }
    WARN "log.suppressed", counted as "log_suppressed";
    "One peer, user or pool caused the same event many times, and not each has a line of its own: a peer gets ten, then one in \
     ten seconds; a user or a pool fifty, then one in a second. The counters of the events count them all, and this one each line \
     that was left out."
}

event! {
    /// A configuration is in use.
    ConfigLoaded {
        /// The file.
        file: Detail => file,
        /// Its generation.
        generation: u64 => generation,
    }
    INFO "config.loaded", counted as "config_loads";
    measured |event, instruments| {
        instruments.config_generation.set(gauge(event.generation));
        instruments.config_last_reload_successful.set(1);
        instruments.config_last_success.set(Timestamp::now().as_second());
    };
    "The configuration was read, found right and is in use."
}

event! {
    /// A directory is in use.
    DirectoryLoaded {
        /// Rooms in it.
        rooms: usize => rooms,
        /// Files it was read from.
        files: usize => files,
        /// Its generation.
        generation: u64 => generation,
        /// Time it took to read.
        took: Duration => seconds,
    }
    INFO "directory.loaded", counted as "directory_loads";
    measured |event, instruments| {
        instruments.directory_rooms.set(gauge(event.rooms as u64));
        instruments.directory_generation.set(gauge(event.generation));
    };
    "The directory of rooms was read, found right and is in use. Lookups made from here on use it."
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
