//! What a process counts, as Prometheus would read it.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// The lines of one answer.
#[derive(Debug)]
pub struct Metrics(String);

impl Metrics {
    pub(crate) async fn of(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a connection");
        let request = b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).await.expect("an answer");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        Metrics(response)
    }

    /// Over all labels; nothing when there is no such metric. Of a histogram, the count.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.sum_where(name, "")
    }

    /// Over the lines that have this label, written `name="value"`.
    pub fn sum_where(&self, name: &str, label: &str) -> Option<f64> {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let rest = rest.strip_prefix("_count").unwrap_or(rest);
            let (labels, value) = rest.strip_prefix('{')?.rsplit_once("} ")?;
            labels.contains(label).then(|| value.parse::<f64>().expect("a number"))
        });
        let values: Vec<f64> = values.collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}
