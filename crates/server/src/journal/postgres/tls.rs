//! TLS to the database: what the URL wants, and which certificates are trusted.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::database::DatabaseError;

/// What the URL says of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Whether TLS is used; `None` if the URL says nothing.
    pub(super) mode: Option<SslMode>,
    /// The certificates that are trusted in place of the system's.
    authorities: Option<PathBuf>,
    /// Whether the certificate may be of another name.
    takes_any_name: bool,
}

impl Wanted {
    /// Takes `sslmode` and `sslrootcert` out of the URL: the driver knows neither all modes nor any certificates.
    pub(super) fn of(url: &str) -> Result<(String, Self), DatabaseError> {
        let mut wanted = Self::default();
        let mut refused = Ok(());
        let mut keep = |pair: &&str, value: &dyn Fn(&str) -> String| {
            let taken = match pair.split_once('=') {
                Some(("sslmode", mode)) => wanted.set_mode(&value(mode)),
                Some(("sslrootcert", file)) => {
                    let file = value(file);
                    wanted.authorities = (file != "system").then(|| PathBuf::from(file));
                    wanted.mode = wanted.mode.or(Some(SslMode::Require));
                    Ok(())
                }
                _ => return true,
            };
            if taken.is_err() {
                refused = taken;
            }
            false
        };
        let left = match url.split_once('?') {
            Some((address, query)) if url.contains("://") => {
                let decoded =
                    |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
                let pairs: Vec<_> = query
                    .split('&')
                    .filter(|pair| keep(pair, &decoded))
                    .collect();
                format!("{address}?{}", pairs.join("&"))
            }
            None if url.contains("://") => url.to_owned(),
            _ => {
                let plain = |text: &str| text.trim_matches('\'').to_owned();
                let pairs: Vec<_> = url
                    .split_whitespace()
                    .filter(|pair| keep(pair, &plain))
                    .collect();
                pairs.join(" ")
            }
        };
        refused?;
        if wanted.takes_any_name && wanted.authorities.is_none() {
            let detail = "sslmode=verify-ca needs sslrootcert=FILE, since any name of a public authority would do";
            return Err(DatabaseError::Url(detail.to_owned()));
        }
        Ok((left, wanted))
    }

    fn set_mode(&mut self, mode: &str) -> Result<(), DatabaseError> {
        self.mode = Some(match mode {
            "disable" => SslMode::Disable,
            "prefer" => SslMode::Prefer,
            "require" | "verify-ca" | "verify-full" => SslMode::Require,
            _ => {
                let modes = "sslmode is one of disable, prefer, require, verify-ca, verify-full";
                return Err(DatabaseError::Url(modes.to_owned()));
            }
        });
        self.takes_any_name = mode == "verify-ca";
        Ok(())
    }
}

/// What makes TLS connections of that mode.
pub(super) fn connector(
    mode: SslMode,
    wanted: &Wanted,
) -> Result<MakeRustlsConnect, DatabaseError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let system = |error: &dyn Error| DatabaseError::Tls(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| system(&error))?;
    let builder = match &wanted.authorities {
        _ if mode == SslMode::Disable => builder.with_root_certificates(RootCertStore::empty()),
        None => builder
            .with_platform_verifier()
            .map_err(|error| system(&error))?,
        Some(path) => {
            let refused = |detail: String| DatabaseError::Authorities {
                path: path.clone(),
                detail,
            };
            let mut roots = RootCertStore::empty();
            let read =
                CertificateDer::pem_file_iter(path).map_err(|error| refused(error.to_string()))?;
            for certificate in read {
                let certificate = certificate.map_err(|error| refused(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| refused(error.to_string()))?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|_| refused("it has no certificate".to_owned()))?;
            let verifier: Arc<dyn ServerCertVerifier> = match wanted.takes_any_name {
                true => Arc::new(AnyName(verifier)),
                false => verifier,
            };
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    };
    Ok(MakeRustlsConnect::new(builder.with_no_client_auth()))
}

/// What to do about a handshake that failed; `None` if that wasn't it.
pub(super) fn advice(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                return Some("name the authority's certificate with sslrootcert=FILE in the URL");
            }
            Some(rustls::Error::InvalidCertificate(error)) if is_of_name(error) => {
                return Some("use the certificate's name in the URL, or sslmode=verify-ca");
            }
            Some(_) => return Some("look at the certificate of the database"),
            None => cause = error.source(),
        }
    }
    None
}

const fn is_of_name(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    )
}

/// Verifies a certificate but for the name that it is for.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is looked at last: an error about it says that all else is right.
        match self
            .0
            .verify_server_cert(certificate, between, name, ocsp, now)
        {
            Err(rustls::Error::InvalidCertificate(error)) if is_of_name(&error) => {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
