//! What is wrong with a peer's certificate, in words: the same for clients and for servers.

use std::fmt;
use std::io;

use jiff::Timestamp;
use rustls::pki_types::{UnixTime, pem};
use rustls::{CertificateError, Error, ExtendedKeyPurpose, OtherError};
use webpki::Error as Rule;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CertificateFault {
    /// It comes from no authority that is trusted.
    UnknownAuthority,
    /// It, or one of its chain, has expired.
    Expired,
    /// It, or one of its chain, is not valid yet.
    NotYetValid,
    /// It is for another name than the one that is dialled.
    WrongName,
    /// It has none of the names on a list.
    NotListed,
    /// Its extended key usage is for something else.
    WrongPurpose,
    /// It is the certificate of an authority, which can stand for no host.
    IsAuthority,
    /// It is signed with an algorithm that is not accepted, such as SHA-1.
    WeakSignature,
    /// It was revoked, or whether it was cannot be known.
    Revoked,
    /// It, or one of its chain, breaks another rule.
    Invalid,
}

/// None of the names on a list is in a certificate that is good otherwise.
#[derive(Debug)]
pub(super) struct NotListed {
    pub(super) presented: Vec<String>,
}

impl NotListed {
    /// As an error of a verifier.
    pub(super) fn into_error(self) -> Error {
        let other = OtherError(std::sync::Arc::new(self));
        Error::InvalidCertificate(CertificateError::Other(other))
    }
}

impl fmt::Display for NotListed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate has none of the listed names; ")?;
        match &*self.presented {
            [] => f.write_str("it has no name at all (subjectAltName)"),
            names => write!(f, "its names are {}", plain(names)),
        }
    }
}

impl std::error::Error for NotListed {}

/// Names of a certificate as people write them: rustls gives each with its kind, as `DnsName("localhost")` or
/// `IpAddress(10.0.0.5)`.
fn plain(names: &[String]) -> String {
    let plain = |name: &String| {
        let inner = name
            .split_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        inner.map_or_else(|| name.clone(), |inner| inner.replace('"', ""))
    };
    names.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// A purpose of a certificate. Those without a name have the numbers of their object identifier.
fn purpose(purpose: &ExtendedKeyPurpose) -> String {
    match purpose {
        ExtendedKeyPurpose::Other(numbers) => {
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            match &*numbers.join(".") {
                "1.3.6.1.5.5.7.3.3" => "code signing".to_owned(),
                "1.3.6.1.5.5.7.3.4" => "e-mail protection".to_owned(),
                "2.5.29.37.0" => "any purpose".to_owned(),
                other => other.to_owned(),
            }
        }
        named => named.to_string(),
    }
}

impl CertificateFault {
    pub(super) fn of(error: &CertificateError) -> Self {
        match error {
            // An authority of the right name with another key is another authority.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            CertificateError::Revoked
            | CertificateError::UnknownRevocationStatus
            | CertificateError::ExpiredRevocationList
            | CertificateError::ExpiredRevocationListContext { .. } => Self::Revoked,
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::WeakSignature
            }
            CertificateError::Other(OtherError(other)) => {
                if other.is::<NotListed>() {
                    return Self::NotListed;
                }
                match other.downcast_ref() {
                    Some(Rule::CaUsedAsEndEntity) => Self::IsAuthority,
                    Some(Rule::EmptyEkuExtension) => Self::WrongPurpose,
                    Some(Rule::SignatureAlgorithmMismatch) => Self::WeakSignature,
                    Some(Rule::CertDistrusted) => Self::UnknownAuthority,
                    _ => Self::Invalid,
                }
            }
            _ => Self::Invalid,
        }
    }
}

/// An error of the library in plain words.
#[derive(Debug)]
pub struct Explained {
    words: Box<str>,
    /// Boxed: errors of files hold it, and are returned by value.
    error: Box<Error>,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl std::error::Error for Explained {}

impl From<Error> for Explained {
    fn from(error: Error) -> Self {
        let words = match &error {
            Error::InvalidCertificate(certificate) => words(certificate),
            Error::NoCertificatesPresented => {
                "no certificate was shown where one is asked for".to_owned()
            }
            Error::InconsistentKeys(_) => "the key is that of another certificate".to_owned(),
            other => other.to_string(),
        };
        Self {
            words: words.into(),
            error: Box::new(error),
        }
    }
}

/// What is wrong with a PEM file, without what is in it.
#[derive(Debug)]
pub struct PemError(pub(super) pem::Error);

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            pem::Error::MissingSectionEnd { .. } => {
                f.write_str("a part has no END line: the file may be cut short")
            }
            pem::Error::IllegalSectionStart { .. } => f.write_str("a BEGIN line is malformed"),
            pem::Error::Base64Decode(_) => {
                f.write_str("what is between BEGIN and END is no base64")
            }
            pem::Error::NoItemsFound => f.write_str("there is nothing of the kind in it"),
            other => other.fmt(f),
        }
    }
}

impl std::error::Error for PemError {}

/// The library's error in one of a connection, if that is why it failed.
pub(super) fn tls_error(error: &io::Error) -> Option<&Error> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<Explained>() {
        Some(explained) => Some(&*explained.error),
        None => inner.downcast_ref(),
    }
}

/// The error in plain words, where the library's are none for an admin. Why the handshake failed can be asked of it as
/// before.
#[must_use]
pub fn in_words(error: io::Error) -> io::Error {
    let kind = error.kind();
    match error.downcast::<Error>() {
        Ok(error) => io::Error::new(kind, Explained::from(error)),
        Err(error) => error,
    }
}

fn words(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "the certificate comes from none of the authorities that are trusted, or its chain is incomplete"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "the certificate is not signed by the authority of this name that is trusted, or a key is too short (RSA \
             needs 2048 bits)"
                .to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("a certificate of the chain expired at {}", time(*not_after))
        }
        CertificateError::Expired => "a certificate of the chain has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "a certificate of the chain is not valid before {}: are both clocks right?",
            time(*not_before)
        ),
        CertificateError::NotValidYet => {
            "a certificate of the chain is not valid yet: are both clocks right?".to_owned()
        }
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            match &**presented {
                [] => format!(
                    "the certificate is not for `{expected}`: it has no name at all (subjectAltName)"
                ),
                names => format!(
                    "the certificate is not for `{expected}`, but for {}",
                    plain(names)
                ),
            }
        }
        CertificateError::InvalidPurposeContext {
            required,
            presented,
        } => {
            let presented: Vec<String> = presented.iter().map(purpose).collect();
            format!(
                "the certificate's extended key usage must allow {required}, and allows {} only: have one issued for both \
                 server and client authentication",
                if presented.is_empty() {
                    "nothing".to_owned()
                } else {
                    presented.join(", ")
                }
            )
        }
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id,
            ..
        }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id,
            ..
        } => format!(
            "a certificate of the chain is signed with {}, which is not accepted: have it issued anew with SHA-256",
            algorithm(signature_algorithm_id)
        ),
        CertificateError::BadEncoding => "the certificate cannot be read: its encoding is wrong".to_owned(),
        CertificateError::UnhandledCriticalExtension => {
            "a certificate of the chain has a critical extension that is not known here".to_owned()
        }
        CertificateError::Revoked => "the certificate was revoked".to_owned(),
        CertificateError::Other(OtherError(other)) => {
            match (other.downcast_ref::<NotListed>(), other.downcast_ref()) {
                (Some(not_listed), _) => not_listed.to_string(),
                (None, Some(rule)) => broken(rule),
                (None, None) => format!("the certificate cannot be used: {other}"),
            }
        }
        other => format!("the certificate cannot be used: {other}"),
    }
}

/// Which rule of RFC 5280 a chain breaks.
fn broken(rule: &Rule) -> String {
    let words = match rule {
        Rule::CaUsedAsEndEntity => {
            "what was shown is the certificate of an authority (CA:TRUE), perhaps a self-signed one: a host needs one of \
             its own, without CA:TRUE"
        }
        Rule::EndEntityUsedAsCa => {
            "the chain has a certificate in the place of an authority that is none (CA:TRUE is missing)"
        }
        Rule::PathLenConstraintViolated => {
            "an authority of the chain may not have authorities below it"
        }
        Rule::NameConstraintViolation => "an authority of the chain may not issue for this name",
        Rule::MaximumPathDepthExceeded
        | Rule::MaximumSignatureChecksExceeded
        | Rule::MaximumPathBuildCallsExceeded => "the chain is too long",
        Rule::EmptyEkuExtension => "the certificate's extended key usage is empty",
        Rule::UnsupportedCertVersion => {
            "a certificate of the chain is of an old version: X.509 version 3 is needed"
        }
        Rule::UnsupportedCriticalExtension => {
            "a certificate of the chain has a critical extension that is not known here"
        }
        Rule::InvalidSerialNumber => {
            "a certificate of the chain has a serial number that is not allowed"
        }
        Rule::SignatureAlgorithmMismatch => {
            "a certificate of the chain names two different algorithms of its signature"
        }
        other => return format!("a certificate of the chain breaks a rule of X.509: {other}"),
    };
    words.to_owned()
}

fn time(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    match seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) {
        Some(time) => time.to_string(),
        None => format!("{} s after 1970", time.as_secs()),
    }
}

/// A signature algorithm, by the content of its identifier in DER.
fn algorithm(id: &[u8]) -> &'static str {
    // 1.2.840.113549.1.1.x, and 1.2.840.10045.4.1.
    match id {
        [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, which, ..]
        | [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, which, ..] => match which {
            2 | 4 => "RSA and MD5",
            5 => "RSA and SHA-1",
            14 => "RSA and SHA-224",
            _ => "an RSA algorithm",
        },
        [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1, ..]
        | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1, ..] => "ECDSA and SHA-1",
        _ => "an algorithm",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_signature_is_named() {
        let sha1 = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 5, 0],
            supported_algorithms: Vec::new(),
        };
        assert_eq!(CertificateFault::of(&sha1), CertificateFault::WeakSignature);
        let error = io::Error::new(io::ErrorKind::InvalidData, Error::InvalidCertificate(sha1));
        let error = in_words(error);
        assert!(error.to_string().contains("RSA and SHA-1"), "{error}");
        assert!(tls_error(&error).is_some());
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn names_and_purposes_are_told_as_people_write_them() {
        let presented = ["DnsName(\"fe9.contoso.com\")", "IpAddress(10.1.1.1)"];
        let presented: Vec<String> = presented.map(str::to_owned).to_vec();
        let not_listed = NotListed {
            presented: presented.clone(),
        };
        let names = "fe9.contoso.com, 10.1.1.1";
        assert!(not_listed.to_string().ends_with(names), "{not_listed}");
        let expected = "pool.contoso.com".try_into().unwrap();
        let said = words(&CertificateError::NotValidForNameContext {
            expected,
            presented,
        });
        assert!(said.ends_with(names), "{said}");
        let said = words(&CertificateError::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ServerAuth,
            presented: vec![
                ExtendedKeyPurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 4]),
                ExtendedKeyPurpose::Other(vec![1, 3, 6, 1, 4, 1]),
            ],
        });
        assert!(
            said.contains("e-mail protection, 1.3.6.1.4.1 only"),
            "{said}"
        );
    }

    #[test]
    fn a_file_that_is_cut_short_is_told_without_octets() {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        for (file, said) in [
            ("-----BEGIN CERTIFICATE-----\nMIIB\n", "no END line"),
            ("-----BEGIN CERTIFICATE\n", "BEGIN line is malformed"),
            ("no part\n", "nothing of the kind"),
        ] {
            let error = PemError(CertificateDer::from_pem_slice(file.as_bytes()).unwrap_err());
            assert!(error.to_string().contains(said), "{error}");
        }
    }

    #[test]
    fn every_rule_has_words() {
        for rule in [
            Rule::CaUsedAsEndEntity,
            Rule::EndEntityUsedAsCa,
            Rule::PathLenConstraintViolated,
            Rule::NameConstraintViolation,
            Rule::MaximumPathDepthExceeded,
            Rule::EmptyEkuExtension,
            Rule::UnsupportedCertVersion,
            Rule::InvalidSerialNumber,
        ] {
            let name = format!("{rule:?}");
            let other = CertificateError::Other(OtherError(std::sync::Arc::new(rule)));
            let said = words(&other);
            assert!(!said.contains("Other(") && !said.contains(&name), "{said}");
        }
    }
}
