//! The closed set: every event there is, each once.

use super::Telemetry;
use super::event::{About, Emit};
use super::events::{
    admin::*, config::*, connection::*, decision::*, pool::*, process::*, protocol::*, room::*,
    serve::*, session::*, sign_in::*,
};

macro_rules! catalogue {
    ($($event:ident),+ $(,)?) => {
        /// Names an event without what it carries.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(
                #[doc = concat!("[`", stringify!($event), "`].")]
                $event,
            )+
        }

        /// Any event, for those who hand it on before it is told, as the session core does.
        #[derive(Clone, Debug)]
        pub enum Event {
            $(
                #[doc = concat!("See [`", stringify!($event), "`].")]
                $event($event),
            )+
        }

        impl Event {
            /// Counts the event and writes its log line.
            pub fn emit(&self, telemetry: &Telemetry) {
                match self {
                    $(Self::$event(event) => event.emit(telemetry),)+
                }
            }
        }

        $(
            impl From<$event> for Event {
                fn from(event: $event) -> Self {
                    Self::$event(event)
                }
            }
        )+

        /// What each event is, in the order of [`Kind`].
        pub(super) const ABOUT: &[About] = &[$($event::ABOUT),+];
    };
}

catalogue! {
    ProcessStarted,
    ProcessReady,
    ProcessDraining,
    ProcessStopped,
    ProcessPanicked,
    ConditionFailed,
    ConditionMet,
    DescriptorsLacking,
    LogDropped,
    LogSuppressed,
    ConfigLoaded,
    ConfigApplied,
    ConfigRejected,
    ConfigStalled,
    ReloadFailed,
    ConfigUnchanged,
    WatchFailed,
    HistoryFailed,
    AuditRecorded,
    AuditTampered,
    AuditFailed,
    DirectoryLoaded,
    ListenerOpened,
    AcceptFailed,
    ConnectionOpened,
    ConnectionRefused,
    ConnectionPaced,
    ConnectionClosed,
    FrontEndConnected,
    FrontEndLost,
    TlsCompleted,
    TlsFailed,
    CertificatesRenewed,
    CertificatesRejected,
    SignInAccepted,
    SignInRefused,
    SignedOut,
    ForeignIdentityRefused,
    IdentityNotAsserted,
    LookupAnswered,
    SessionOpened,
    SessionDetached,
    SessionResumed,
    SessionClosed,
    SlowClientClosed,
    DocumentRefused,
    InfoTimedOut,
    DecisionMade,
    RoomMoved,
    RoomShut,
    NoticeShown,
    ShadowAgreed,
    ShadowDiffered,
    RoomJoined,
    JoinRefused,
    CommandFailed,
    RoomParted,
    RoomsSummed,
    TooManyRooms,
    DocumentTooLong,
    PostAccepted,
    PostRefused,
    PostUnknown,
    RoomsRejoined,
    RoomLost,
    GapClosed,
    ProtocolFault,
    LegOpened,
    LegClosed,
    LegRefused,
    PoolServerUp,
    PoolServerRemoved,
    PoolServersFound,
    PoolSrvFailed,
    PoolServerDown,
    PoolServerEjected,
    PoolServerRestored,
    PoolTlsFailed,
    PoolFault,
    PoolStoreFailed,
    DialogOpened,
    DialogClosed,
    AdminOpened,
    AdminFailed,
    AdminRequest,
}
