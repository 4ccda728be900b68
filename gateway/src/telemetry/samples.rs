//! One sample of every event.

use std::time::Duration;

use holdover_config::ListenerName;

use super::events::{
    admin::*, config::*, connection::*, decision::*, pool::*, process::*, protocol::*, room::*,
    serve::*, session::*, sign_in::*,
};
use super::{Detail, Event, SessionId};

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
        ProcessPanicked {
            thread: text(),
            place: text(),
        }
        .into(),
        ConditionFailed {
            condition: text(),
            required: true,
            reason: text(),
        }
        .into(),
        ConditionMet { condition: text() }.into(),
        DescriptorsLacking {
            limit: 1_024,
            usable: 784,
            connections: 20_000,
        }
        .into(),
        LogDropped { lines: 7 }.into(),
        LogSuppressed {
            event: "protocol.fault",
            source: text(),
            lines: 90,
        }
        .into(),
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
        ConfigStalled {
            generation: 5,
            after: seconds,
        }
        .into(),
        ReloadFailed {
            generation: 5,
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
            times: 3,
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
        ConnectionPaced {
            listener: listener.clone(),
            peer,
            user: Some(user()),
            reason: PaceLimit::Connection,
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
        DocumentRefused {
            session,
            user: user(),
            status: 413,
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
            reason: JoinRefusal::Pool,
            pool: Some(pool()),
            code: Some(404),
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
        RoomsSummed {
            session,
            user: user(),
            command: text(),
            events: 936,
        }
        .into(),
        TooManyRooms {
            session,
            user: user(),
            command: text(),
            refused: 19_000,
            per_command: 1_000,
            per_session: 1_000,
        }
        .into(),
        DocumentTooLong {
            session,
            user: user(),
            pool: pool(),
            command: Some(text()),
            longest: 2_097_152,
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
        AdminFailed { error: text() }.into(),
        AdminRequest {
            peer,
            route: AdminRoute::Rooms,
            status: 404,
        }
        .into(),
    ]
}
