//! Certificates for pools and for the gateway that talks to them.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// An authority that exists for one test.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Panics
    ///
    /// When no key can be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    /// Its certificate, as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// Writes a certificate for a host name or IP address, and its key, to `dir/file.pem` and `dir/file.key`.
    ///
    /// # Panics
    ///
    /// When they cannot be written.
    pub fn issue(&self, dir: &Path, file: &str, name: &str) {
        self.issue_until(dir, file, name, 4000);
    }

    /// Like [`issue`](Self::issue), of a certificate whose time is over.
    ///
    /// # Panics
    ///
    /// When they cannot be written.
    pub fn issue_expired(&self, dir: &Path, file: &str, name: &str) {
        self.issue_until(dir, file, name, 2021);
    }

    fn issue_until(&self, dir: &Path, file: &str, name: &str, year: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        // Whoever reads the pair between these two lines takes the old one for good, or reads again.
        replace(&dir.join(format!("{file}.key")), &key.serialize_pem());
        replace(&dir.join(format!("{file}.pem")), &certificate.pem());
    }
}

/// Replaces a file as a whole: nobody reads half of it.
fn replace(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(&aside, path).unwrap();
}
