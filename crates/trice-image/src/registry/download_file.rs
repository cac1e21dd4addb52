//! Files of any server, by their addresses: nobody's credentials go there.

use std::io;
use std::time::SystemTime;

use reqwest::header::{LAST_MODIFIED, LOCATION};
use reqwest::{StatusCode, Url};

use super::Registries;
use super::exchange::ExchangeError;
use super::trust::Trust;

/// The most redirections on one way.
const MOST_HOPS: usize = 10;

/// Why a file is not here.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The address is none, or leads to what is none.
    #[error("`{0}` is no address of a file: it begins with `http://` or `https://`")]
    Address(String),
    /// It leads from one place to another without end.
    #[error("`{0}` leads on and on")]
    Endless(String),
    /// The server does not give it.
    #[error("`{address}`: the server answers {status}")]
    Refused {
        /// The address.
        address: String,
        /// What the server says.
        status: StatusCode,
    },
    /// It is larger than it may be.
    #[error("`{address}` has more than {most} bytes, which is the limit")]
    TooLarge {
        /// The address.
        address: String,
        /// The limit.
        most: u64,
    },
    /// The server cannot be asked.
    #[error("ask for `{address}`")]
    Exchange {
        /// The address.
        address: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What it gives cannot be kept.
    #[error("keep `{address}`")]
    Keep {
        /// The address.
        address: String,
        /// Why not.
        source: io::Error,
    },
}

impl Registries {
    /// Reads a file of a server, and hands its parts to `take`. Returns when it was last changed, if the server says.
    ///
    /// # Errors
    /// [`DownloadError`].
    pub async fn download_file(
        &self,
        address: &str,
        most: u64,
        mut take: impl FnMut(&[u8]) -> io::Result<()> + Send,
    ) -> Result<Option<SystemTime>, DownloadError> {
        let wrong = || DownloadError::Address(address.to_owned());
        let is_web = |url: &Url| matches!(url.scheme(), "http" | "https");
        let mut url = Url::parse(address).ok().filter(is_web).ok_or_else(wrong)?;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| DownloadError::Exchange {
            address: address.to_owned(),
            source,
        };
        for _ in 0..=MOST_HOPS {
            let client = self.shared.web.client(&url, Trust::Authorities);
            let client = client.map_err(|error: ExchangeError| failed(Box::new(error)))?;
            let answer = client.get(url.clone()).send().await;
            let mut answer = answer.map_err(|error| failed(Box::new(error.without_url())))?;
            if answer.status().is_redirection() {
                let next = answer.headers().get(LOCATION).and_then(|next| next.to_str().ok());
                // A server on the net must not lead to other schemes.
                url = next.and_then(|next| url.join(next).ok()).filter(is_web).ok_or_else(wrong)?;
                continue;
            }
            if !answer.status().is_success() {
                let (address, status) = (address.to_owned(), answer.status());
                return Err(DownloadError::Refused { address, status });
            }
            let changed = answer.headers().get(LAST_MODIFIED).and_then(|time| time.to_str().ok());
            let changed = changed.and_then(|time| httpdate::parse_http_date(time).ok());
            let mut bytes = 0;
            while let Some(part) =
                answer.chunk().await.map_err(|error| failed(Box::new(error.without_url())))?
            {
                bytes += part.len() as u64;
                if bytes > most {
                    return Err(DownloadError::TooLarge { address: address.to_owned(), most });
                }
                take(&part).map_err(|source| DownloadError::Keep { address: address.to_owned(), source })?;
            }
            return Ok(changed);
        }
        Err(DownloadError::Endless(address.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use trice_model::registry::{Keyring, RegistrySettings};

    use super::*;

    /// Answers requests with these texts, one after the other, and asks for `/`.
    fn fetched<const N: usize>(answers: [&'static str; N], most: u64) -> Result<(Vec<u8>, bool), String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let registries = Registries::new(RegistrySettings::default(), Keyring::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut bytes = Vec::new();
        let take = |part: &[u8]| {
            bytes.extend_from_slice(part);
            Ok(())
        };
        let result = runtime.block_on(registries.download_file(&address, most, take));
        server.join().unwrap();
        let changed = result.map_err(|error| error.to_string().replace(&address, "ADDRESS"))?;
        Ok((bytes, changed.is_some()))
    }

    const FILE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\
        Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\ntext";

    #[test]
    fn a_file_is_fetched_also_where_an_address_leads_on() {
        assert_eq!(fetched([FILE], 4), Ok((b"text".to_vec(), true)));
        let on = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(fetched([on, FILE], 4), Ok((b"text".to_vec(), true)));
    }

    #[test]
    fn what_is_no_file_of_a_server_is_refused() {
        let gone = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(fetched([gone], 4), Err("`ADDRESS`: the server answers 404 Not Found".to_owned()));
        assert_eq!(fetched([FILE], 3), Err("`ADDRESS` has more than 3 bytes, which is the limit".to_owned()));
        let file = "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert!(fetched([file], 4).unwrap_err().contains("is no address of a file"));
    }
}
