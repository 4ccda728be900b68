//! Whose a request is, by the word of a front end (RFC 3325).

use holdover_protocol::sip::{Name, Request};
use holdover_protocol::user::UserUri;

use crate::registrar::user_of;
use crate::telemetry::events::sign_in::AssertionFault;

/// The user a front end asserts.
///
/// P-Asserted-Identity holds one SIP address, and may hold a `tel` one beside it (§9.1); P-Preferred-Identity is what the
/// client would like to be, and is not looked at. From is what the client says: others see the user under it and dialogs are
/// known by it, so it must be the same. A `Privacy: id` beside it hides nothing that From does not tell.
///
/// # Errors
///
/// Nobody is asserted, or not clearly.
pub(super) fn asserted(request: &Request, domain: &str) -> Result<UserUri, AssertionFault> {
    let headers = request.headers();
    let mut user = None;
    let mut is_asserted = false;
    for address in headers.addresses(Name::PAssertedIdentity) {
        is_asserted = true;
        let address = address.map_err(|_| AssertionFault::Unusable)?;
        if address.uri().as_sip().is_none() {
            continue;
        }
        let asserted = user_of(&address).ok_or(AssertionFault::Unusable)?;
        if user.replace(asserted).is_some() {
            return Err(AssertionFault::Ambiguous);
        }
    }
    let Some(user) = user else {
        return Err(if is_asserted {
            AssertionFault::Unusable
        } else {
            AssertionFault::Missing
        });
    };
    if !user.domain().eq_ignore_ascii_case(domain) {
        return Err(AssertionFault::ForeignDomain);
    }
    let from = headers.from().ok().and_then(|from| user_of(&from));
    if from.as_ref() != Some(&user) {
        return Err(AssertionFault::OtherSender);
    }
    Ok(user)
}
