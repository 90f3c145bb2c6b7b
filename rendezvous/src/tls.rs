//! The server's certificate: made on the first start, kept, and pinned by clients. Nobody signs it.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio_rustls::rustls::{ServerConfig, crypto::ring};

/// Certificate and key in one PEM file.
const FILE: &str = "tls.pem";

/// What a TLS listener needs.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    /// Lower-case hex SHA-256 of the certificate's DER.
    pub(crate) fingerprint: String,
}

/// The certificate kept in `folder`, or a new one; without a folder it is new each time.
pub(crate) fn load_or_create(folder: Option<&Path>) -> io::Result<Tls> {
    let pem = match folder.map(|folder| folder.join(FILE)) {
        None => generate()?,
        Some(path) => match fs::read_to_string(&path) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let pem = generate()?;
                write_private(&path, pem.as_bytes())?;
                pem
            }
            Err(error) => return Err(error),
        },
    };
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(io::Error::other)?;
    let fingerprint = data_encoding::HEXLOWER.encode(&Sha256::digest(&certificate));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(io::Error::other)?;
    Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint })
}

/// ECDSA on P-256, which every reference client takes.
fn generate() -> io::Result<String> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let params = CertificateParams::new(names).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

/// Writes a file that only its owner reads, whole or not at all.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
