//! How long a session lives without a sign of life (RFC 4028).
//!
//! The legacy client never says `Supported: timer`, yet reads the Session-Expires of a 200 to its INVITE and refreshes
//! with UPDATE from then on. It answers an UPDATE from the server with 501, so toward it the refresher is always the
//! client (`refresher=uac`); without the header on the lookup's 200 it can fall into an endless storm of UPDATEs.

use std::time::{Duration, Instant};

use super::headers::{HeaderError, Name, Refresher, SessionExpires};
use super::message::Request;

/// The smallest session interval anybody may ask for (RFC 4028 §4), in seconds.
pub const SMALLEST_MIN_SE: u32 = 90;

/// How long an UPDATE that was sent just in time may be under way: 64 × T1 (RFC 3261 §17.1.2.2).
const GRACE: Duration = Duration::from_secs(32);

/// What an INVITE or UPDATE says about the timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// Its Session-Expires.
    pub expires: Option<SessionExpires>,
    /// Its Min-SE in seconds.
    pub min_se: Option<u32>,
    /// Whether its Supported header, or its Require header, has `timer`.
    pub supported: bool,
}

impl Proposal {
    /// What a request says.
    ///
    /// # Errors
    ///
    /// Its Session-Expires or Min-SE is malformed.
    pub fn of(request: &Request) -> Result<Self, HeaderError> {
        let headers = request.headers();
        Ok(Self {
            expires: headers.session_expires()?,
            min_se: headers.min_se()?,
            // Whoever demands it knows it.
            supported: headers.lists(Name::Supported, "timer")
                || headers.lists(Name::Require, "timer"),
        })
    }
}

/// What the answering side does with a [`Proposal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// Answer 200 with this Session-Expires.
    Timer {
        /// The Session-Expires to send, always with a refresher.
        expires: SessionExpires,
        /// Whether `Require: timer` belongs in the answer.
        require: bool,
    },
    /// Answer 422 (Session Interval Too Small) with this Min-SE, in seconds.
    TooSmall {
        /// The Min-SE to send.
        min_se: u32,
    },
}

/// The session interval a server wants, and the least it lets a client ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    interval: u32,
    min_se: u32,
}

impl Policy {
    /// A policy from two numbers of seconds. Both are raised to [`SMALLEST_MIN_SE`], and the interval to `min_se`.
    pub fn new(interval: u32, min_se: u32) -> Self {
        let min_se = min_se.max(SMALLEST_MIN_SE);
        Self {
            interval: interval.max(min_se),
            min_se,
        }
    }

    /// Decides the answer (RFC 4028 §9).
    ///
    /// One deviation, for the legacy client: a sender without `timer` in its Supported gets a Session-Expires as well,
    /// with itself as refresher and without `Require: timer`. A client that does not know the header ignores it, so the
    /// caller must not end a session of such a client merely because it was not refreshed.
    pub fn answer(&self, proposal: &Proposal) -> Agreement {
        let asked = proposal.expires.map(|expires| expires.seconds);
        if proposal.supported && asked.is_some_and(|seconds| seconds < self.min_se) {
            return Agreement::TooSmall {
                min_se: self.min_se,
            };
        }
        let floor = self.min_se.max(proposal.min_se.unwrap_or(0));
        let seconds = asked.map_or(self.interval, |asked| asked.min(self.interval));
        let refresher = proposal
            .expires
            .and_then(|expires| expires.refresher)
            .filter(|_| proposal.supported)
            .unwrap_or(Refresher::Uac);
        Agreement::Timer {
            expires: SessionExpires {
                seconds: seconds.max(floor),
                refresher: Some(refresher),
            },
            require: proposal.supported && refresher == Refresher::Uac,
        }
    }
}

/// The running timer of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    interval: Duration,
    refreshed: Instant,
}

impl SessionTimer {
    /// Starts at the 200 that negotiated `expires`.
    pub fn start(now: Instant, expires: SessionExpires) -> Self {
        Self {
            interval: Duration::from_secs(expires.seconds.into()),
            refreshed: now,
        }
    }

    /// Notes a refresh: the 2xx to an UPDATE or re-INVITE, sent or received.
    pub fn refresh(&mut self, now: Instant) {
        self.refreshed = now;
    }

    /// When this side, being the refresher, should send its UPDATE: after half the interval (RFC 4028 §7.2).
    pub fn refresh_due(&self) -> Instant {
        self.refreshed + self.interval / 2
    }

    /// When this side, waiting for the other's refresh, may give the session up.
    ///
    /// RFC 4028 §10 allows that up to 32 s *before* the interval ends. The legacy client refreshes 10 s before the
    /// end, so it would never be in time: the interval is granted in full, and a transaction's time on top.
    pub fn expires_at(&self) -> Instant {
        self.refreshed + self.interval + GRACE
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sip::message::Message;

    fn expires(seconds: u32, refresher: Option<Refresher>) -> SessionExpires {
        SessionExpires { seconds, refresher }
    }

    #[test]
    fn rfc4028_9_proposal_is_read_from_the_request() {
        let text = "UPDATE sip:c@contoso.com SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.7\r\n\
            From: <sip:a@contoso.com>;tag=1\r\nTo: <sip:c@contoso.com>;tag=2\r\nCall-ID: x\r\n\
            CSeq: 2 UPDATE\r\nSupported: 100rel, Timer\r\nSession-Expires: 600;refresher=uas\r\n\
            Min-SE: 120\r\nContent-Length: 0\r\n\r\n";
        let Message::Request(request) = Message::parse(text.as_bytes()).unwrap() else {
            panic!("not a request");
        };
        let proposal = Proposal {
            expires: Some(expires(600, Some(Refresher::Uas))),
            min_se: Some(120),
            supported: true,
        };
        assert_eq!(Proposal::of(&request), Ok(proposal));
        let demanding = text.replace("Supported: 100rel, Timer", "Require: timer");
        let Message::Request(request) = Message::parse(demanding.as_bytes()).unwrap() else {
            panic!("not a request");
        };
        assert_eq!(Proposal::of(&request), Ok(proposal));
    }

    #[test]
    fn fact_lookup_200_has_session_expires_with_the_client_as_refresher_and_no_require() {
        for asked in [None, Some(expires(1800, Some(Refresher::Uas)))] {
            let answer = Policy::new(1800, 90).answer(&Proposal {
                expires: asked,
                ..Proposal::default()
            });
            assert_eq!(
                answer,
                Agreement::Timer {
                    expires: expires(1800, Some(Refresher::Uac)),
                    require: false
                }
            );
        }
    }

    #[test]
    fn rfc4028_9_supporting_client_chooses_the_refresher_and_gets_require_if_it_is_the_one() {
        let policy = Policy::new(1800, 90);
        for (asked, given, require) in [
            (None, Refresher::Uac, true),
            (Some(Refresher::Uac), Refresher::Uac, true),
            (Some(Refresher::Uas), Refresher::Uas, false),
        ] {
            let answer = policy.answer(&Proposal {
                expires: Some(expires(600, asked)),
                min_se: None,
                supported: true,
            });
            let expires = expires(600, Some(given));
            assert_eq!(answer, Agreement::Timer { expires, require });
        }
    }

    #[test]
    fn rfc4028_9_too_small_interval_is_422_only_for_a_client_that_knows_timers() {
        let policy = Policy::new(1800, 120);
        let mut proposal = Proposal {
            expires: Some(expires(119, None)),
            min_se: None,
            supported: true,
        };
        assert_eq!(
            policy.answer(&proposal),
            Agreement::TooSmall { min_se: 120 }
        );
        proposal.supported = false;
        let Agreement::Timer { expires, .. } = policy.answer(&proposal) else {
            panic!("a client that does not know 422 must not get it");
        };
        assert_eq!(expires.seconds, 120);
    }

    #[test]
    fn fact_client_refreshing_ten_seconds_before_the_end_is_in_time() {
        let start = Instant::now();
        let mut timer = SessionTimer::start(start, expires(1800, None));
        let update = start + Duration::from_secs(1790);
        assert!(timer.expires_at() > update + Duration::from_secs(10));
        assert_eq!(timer.refresh_due(), start + Duration::from_secs(900));
        timer.refresh(update);
        assert_eq!(timer.expires_at(), update + Duration::from_secs(1832));
    }

    proptest! {
        #[test]
        fn rfc4028_9_interval_respects_both_minimums_and_is_never_raised_above_them(
            interval: u32, min_se in 0_u32..7200, asked: Option<u32>, floor: Option<u32>, supported: bool,
        ) {
            let policy = Policy::new(interval, min_se);
            let proposal = Proposal {
                expires: asked.map(|seconds| expires(seconds, None)),
                min_se: floor,
                supported,
            };
            match policy.answer(&proposal) {
                Agreement::TooSmall { min_se } => {
                    prop_assert!(supported && asked.unwrap() < min_se);
                }
                Agreement::Timer { expires, .. } => {
                    let least = min_se.max(SMALLEST_MIN_SE).max(floor.unwrap_or(0));
                    prop_assert!(expires.seconds >= least);
                    if let Some(asked) = asked {
                        prop_assert!(expires.seconds <= asked.max(least));
                    }
                }
            }
        }
    }
}
