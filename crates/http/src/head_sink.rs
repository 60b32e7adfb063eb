//! What a response's head is written to, whatever the version of HTTP.

use crate::error::ResponseError;

/// Where a head is written to, in the form of one version of HTTP. What comes here has been checked, but for the reason.
pub trait HeadSink {
    /// First of all. An error where the status is none, or the reason cannot be said.
    fn status(&mut self, status: u16, reason: &[u8]) -> Result<(), ResponseError>;

    /// A field; the name as the application wrote it.
    fn field(&mut self, name: &[u8], value: &[u8]);

    /// A field of ours; `line` is the same as HTTP/1 writes it.
    fn fixed(&mut self, name: &'static [u8], value: &'static [u8], line: &'static [u8]);

    /// `Content-Length`.
    fn content_length(&mut self, length: u64);

    /// There are no more.
    fn end(&mut self);
}
