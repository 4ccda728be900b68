//! Log lines as tests see them, and one sample of every event.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdover_config::ListenerName;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::events::{
    admin::*, config::*, connection::*, decision::*, pool::*, process::*, protocol::*, room::*,
    serve::*, session::*, sign_in::*,
};
use super::{Detail, Event, SessionId};

/// One log line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) fields: BTreeMap<&'static str, String>,
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

struct Lines(Arc<Mutex<Vec<Line>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            level: *event.metadata().level(),
            message: fields.0.remove("message").unwrap_or_default(),
            fields: fields.0,
        };
        self.0.lock().unwrap().push(line);
    }
}

/// What `run` logs on this thread.
pub(super) fn lines(run: impl FnOnce()) -> Vec<Line> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::registry().with(Lines(Arc::clone(&lines)));
    tracing::subscriber::with_default(subscriber, run);
    lines.lock().unwrap().clone()
}

/// One of each event.
pub(super) fn samples() -> Vec<Event> {
    let session = SessionId(7);
    let seconds = Duration::from_millis(1500);
    let peer = "192.0.2.1:40000".parse().unwrap();
    let listener: ListenerName = "clients".parse().unwrap();
    let text = || Detail::new("text");
    let user = || "sip:ann@contoso.com".parse().unwrap();
    let room = || "ma-chan://contoso.com/1".parse().unwrap();
    let pool = || "hq".parse().unwrap();
    vec![
        ProcessStarted { version: "1.2.3" }.into(),
        ProcessReady { took: seconds }.into(),
        ProcessDraining { sessions: 3 }.into(),
        ProcessStopped { cut: 1 }.into(),
        ConfigLoaded {
            file: text(),
            generation: 4,
        }
        .into(),
        ConfigApplied {
            generation: 5,
            hash: text(),
            who: text(),
            took: seconds,
        }
        .into(),
        ConfigRejected {
            generation: 5,
            faults: 2,
            first: text(),
            who: text(),
        }
        .into(),
        ConfigUnchanged {
            generation: 5,
            who: text(),
        }
        .into(),
        WatchFailed {
            folder: text(),
            error: text(),
        }
        .into(),
        HistoryFailed {
            generation: 3,
            error: text(),
        }
        .into(),
        AuditRecorded {
            n: 3,
            hash: text(),
            torn: Some(7),
        }
        .into(),
        AuditTampered { n: 3, what: text() }.into(),
        AuditFailed {
            file: text(),
            error: text(),
        }
        .into(),
        DirectoryLoaded {
            rooms: 9,
            files: 2,
            generation: 5,
            took: seconds,
        }
        .into(),
        ListenerOpened {
            listener: listener.clone(),
            address: peer,
            tls: true,
        }
        .into(),
        AcceptFailed {
            listener: text(),
            error: text(),
        }
        .into(),
        ConnectionOpened {
            listener: listener.clone(),
            peer,
        }
        .into(),
        ConnectionRefused {
            listener: listener.clone(),
            peer,
            reason: ConnectionRefusal::Limit,
        }
        .into(),
        ConnectionClosed {
            listener: listener.clone(),
            peer,
            reason: ConnectionEnd::Client,
        }
        .into(),
        FrontEndConnected {
            listener: listener.clone(),
            peer,
            name: text(),
            sessions: 3,
        }
        .into(),
        FrontEndLost {
            listener,
            peer,
            name: text(),
            sessions: 3,
        }
        .into(),
        TlsCompleted {
            peer,
            suite: TlsSuite::Tls13Aes128,
        }
        .into(),
        TlsFailed {
            peer,
            reason: TlsFailure::NotTls,
            error: text(),
        }
        .into(),
        CertificatesRenewed { file: text() }.into(),
        CertificatesRejected {
            file: text(),
            error: text(),
        }
        .into(),
        SignInAccepted {
            user: user(),
            peer,
            agent: Some(text()),
        }
        .into(),
        SignInRefused {
            user: None,
            peer,
            reason: SignInRefusal::WrongPassword,
        }
        .into(),
        SignedOut {
            user: user(),
            peer,
            reason: SignOutCause::Expired,
        }
        .into(),
        ForeignIdentityRefused {
            user: Some(user()),
            claimed: text(),
            method: text(),
            peer,
        }
        .into(),
        IdentityNotAsserted {
            peer,
            reason: AssertionFault::Missing,
            claimed: text(),
            method: text(),
        }
        .into(),
        LookupAnswered {
            user: user(),
            call_id: text(),
        }
        .into(),
        SessionOpened {
            session,
            user: user(),
            peer,
            call_id: text(),
        }
        .into(),
        SessionDetached {
            session,
            user: user(),
            grace: seconds,
        }
        .into(),
        SessionResumed {
            session,
            user: user(),
            peer,
        }
        .into(),
        SessionClosed {
            session,
            user: user(),
            reason: SessionEnd::SignedOut,
            lasted: seconds,
        }
        .into(),
        SlowClientClosed {
            session,
            user: user(),
            queued: 64,
        }
        .into(),
        InfoTimedOut {
            session,
            user: user(),
        }
        .into(),
        DecisionMade {
            user: user(),
            act: "read",
            legacy: Some(room()),
            pool: Some(pool()),
            migrated: Some(room()),
            outcome: Decision::Allowed,
            rule: Some(text()),
            place: Some(text()),
            generation: 6,
        }
        .into(),
        RoomMoved {
            session,
            user: user(),
            legacy: room(),
            from: Some(pool()),
            pool: pool(),
            rule: Some(text()),
        }
        .into(),
        RoomShut {
            session,
            user: user(),
            legacy: room(),
            pool: pool(),
            reason: Decision::Retired,
            rule: None,
        }
        .into(),
        NoticeShown {
            session,
            user: user(),
            legacy: room(),
            rule: text(),
        }
        .into(),
        ShadowAgreed {
            session,
            user: user(),
            command: text(),
            legacy: Some(room()),
            pool: pool(),
            rule: text(),
        }
        .into(),
        ShadowDiffered {
            session,
            user: user(),
            command: text(),
            legacy: None,
            pool: pool(),
            rule: text(),
            missing: 2,
            extra: 1,
            first: 200,
            second: 404,
        }
        .into(),
        RoomJoined {
            session,
            user: user(),
            legacy: room(),
            migrated: room(),
            pool: pool(),
        }
        .into(),
        JoinRefused {
            session,
            user: user(),
            legacy: room(),
            reason: JoinRefusal::Retired,
        }
        .into(),
        CommandFailed {
            session,
            user: user(),
            command: text(),
            code: 504,
        }
        .into(),
        RoomParted {
            session,
            user: user(),
            legacy: room(),
        }
        .into(),
        PostAccepted {
            session,
            user: user(),
            legacy: room(),
            pool: pool(),
            took: seconds,
        }
        .into(),
        PostRefused {
            session,
            user: user(),
            legacy: room(),
            by: PostRefusal::Pool,
            status: 403,
        }
        .into(),
        PostUnknown {
            session,
            user: user(),
            legacy: room(),
            pool: pool(),
            call_id: Detail::new("call"),
            cseq: 7,
            envid: 12,
        }
        .into(),
        RoomsRejoined {
            session,
            user: user(),
            pool: pool(),
            rooms: 3,
        }
        .into(),
        RoomLost {
            session,
            user: user(),
            migrated: room(),
            pool: pool(),
        }
        .into(),
        GapClosed {
            session,
            user: user(),
            migrated: room(),
            pool: pool(),
            messages: 3,
            complete: true,
        }
        .into(),
        ProtocolFault {
            peer,
            user: None,
            kind: FaultKind::Xccos,
            detail: text(),
        }
        .into(),
        LegOpened {
            session,
            user: user(),
            pool: pool(),
        }
        .into(),
        LegClosed {
            session,
            user: user(),
            pool: pool(),
            reason: LegEnd::Overflow,
        }
        .into(),
        LegRefused {
            user: user(),
            pool: pool(),
            server: text(),
            status: 403,
        }
        .into(),
        PoolServerUp {
            pool: pool(),
            server: text(),
        }
        .into(),
        PoolServerRemoved {
            pool: pool(),
            server: text(),
            was_up: true,
        }
        .into(),
        PoolServersFound {
            pool: pool(),
            servers: 2,
            added: 1,
        }
        .into(),
        PoolSrvFailed {
            pool: pool(),
            name: text(),
            error: text(),
        }
        .into(),
        PoolServerDown {
            pool: pool(),
            server: text(),
            was_up: true,
            reason: ServerLoss::Closed,
            error: text(),
        }
        .into(),
        PoolServerEjected {
            pool: pool(),
            server: text(),
            reason: ServerFailure::Silent,
            wait: seconds,
        }
        .into(),
        PoolServerRestored {
            pool: pool(),
            server: text(),
        }
        .into(),
        PoolTlsFailed {
            pool: pool(),
            server: text(),
            reason: PoolTlsFailure::Expired,
            error: text(),
        }
        .into(),
        PoolFault {
            pool: pool(),
            server: text(),
            error: text(),
        }
        .into(),
        PoolStoreFailed {
            pool: pool(),
            error: text(),
        }
        .into(),
        DialogOpened {
            user: user(),
            peer,
            call_id: text(),
        }
        .into(),
        DialogClosed {
            user: user(),
            peer,
            reason: DialogEnd::Peer,
        }
        .into(),
        AdminOpened { address: peer }.into(),
        AdminRequest {
            peer,
            route: AdminRoute::Rooms,
            status: 404,
        }
        .into(),
    ]
}

mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::super::{Telemetry, catalogue};
    use super::*;

    fn total(exposition: &str, counter: &str) -> u64 {
        let series = exposition
            .lines()
            .filter_map(|line| line.strip_prefix(counter));
        series
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    #[test]
    fn every_event_logs_one_line_and_moves_its_own_counter() {
        let samples = samples();
        assert_eq!(
            samples.len(),
            catalogue::ABOUT.len(),
            "a sample of each event"
        );
        for (event, about) in samples.iter().zip(catalogue::ABOUT) {
            let telemetry = Telemetry::new();
            let lines = lines(|| event.emit(&telemetry));
            let [line] = lines.as_slice() else {
                panic!("{} wrote {} lines", about.name, lines.len());
            };
            assert_eq!(
                (line.message.as_str(), line.level),
                (about.name, about.level)
            );
            let told: BTreeSet<_> = about.fields.iter().copied().collect();
            let logged: BTreeSet<_> = line.fields.keys().copied().collect();
            assert!(logged.is_subset(&told), "{logged:?} of {}", about.name);
            let absent = format!("{event:?}").matches("None").count();
            assert_eq!(told.len() - logged.len(), absent, "{}", about.name);

            let exposition = telemetry.exposition();
            for other in catalogue::ABOUT {
                let expected = u64::from(other.name == about.name);
                assert_eq!(
                    total(&exposition, other.counter),
                    expected,
                    "{}",
                    other.counter
                );
            }
        }
    }

    #[test]
    fn names_are_unique() {
        let mut seen = HashSet::new();
        for about in catalogue::ABOUT {
            assert!(
                seen.insert(about.name) && seen.insert(about.counter),
                "{}",
                about.name
            );
        }
    }

    #[test]
    fn labels_name_their_series() {
        let telemetry = Telemetry::new();
        let exposition = telemetry.exposition();
        for series in [
            "holdover_joins_refused_total{reason=\"retired\"} 0",
            "holdover_tls_handshakes_total{version=\"1.3\",suite=\"TLS_AES_128_GCM_SHA256\"} 0",
            "holdover_posts_accepted_total 0",
        ] {
            assert!(exposition.contains(series), "{series} in\n{exposition}");
        }
        for about in catalogue::ABOUT {
            let series = (about.series)();
            let distinct: HashSet<_> = series.iter().map(|(labels, _)| labels.clone()).collect();
            assert_eq!(distinct.len(), series.len(), "{}", about.counter);
        }
    }

    #[test]
    fn gauges_follow_events_that_pair() {
        let telemetry = Telemetry::new();
        let listener: ListenerName = "clients".parse().unwrap();
        let peer = "192.0.2.1:40000".parse().unwrap();
        let opened: Event = ConnectionOpened {
            listener: listener.clone(),
            peer,
        }
        .into();
        let reason = ConnectionEnd::Client;
        let closed: Event = ConnectionClosed {
            listener,
            peer,
            reason,
        }
        .into();
        opened.emit(&telemetry);
        opened.emit(&telemetry);
        closed.emit(&telemetry);
        assert!(
            telemetry
                .exposition()
                .contains("\nholdover_connections 1\n")
        );
    }
}
