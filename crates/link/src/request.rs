//! The request record: one complete request as a value in a slot's request area.
//!
//! Written by the front once, before the slot becomes Ready; read by the worker while the slot runs. Knows nothing of HTTP rules:
//! the front has parsed and judged, this is only the carrying. The reader checks every span against the area, because a record
//! is never trusted to be well-formed.
//!
//! ```text
//! RequestHeader │ FieldRecord × field_count │ bytes that the spans point into (spans count from the record's start)
//! ```

/// A range of the record, counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    fn shifted(self, by: u32) -> Span {
        Span { start: self.start.wrapping_add(by), end: self.end.wrapping_add(by) }
    }

    fn of(self, record: &[u8]) -> &[u8] {
        record.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Where the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BodyPlace {
    /// There is none.
    None = 0,
    /// In the record itself.
    Inline = 1,
    /// In chunks of the body arena; the record holds their numbers.
    Chunks = 2,
    /// In a file, whose descriptor travels beside the record.
    File = 3,
    /// It is still coming, through a window of chunks; the record holds their numbers.
    Stream = 4,
    /// There is none, but the client's socket, whose descriptor travels beside the record (see `socket`).
    Socket = 5,
}

/// What a field of the record says; `known` is the front's number for a well-known name, carried unread.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct FieldRecord {
    /// The name as sent.
    pub name: Span,
    /// The value without surrounding white space.
    pub value: Span,
    /// 0 for a name that is not well known.
    pub known: u32,
}

/// Fixed part of the record.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RequestHeader {
    body_len: u64,
    body_token: u64,
    method: Span,
    target: Span,
    path: Span,
    query: Span,
    peer: Span,
    body: Span,
    body_place: u32,
    field_count: u32,
    /// Number of the listener, in the front's order.
    pub listener: u16,
    /// The client's port, 0 if it has none (a unix socket).
    pub peer_port: u16,
    /// 10, 11 or 20.
    pub version: u16,
    /// 1: the client waits for leave to send its body.
    waits_for_leave: u16,
}

/// The length of a streamed body that nobody knows yet.
const UNKNOWN_LENGTH: u64 = u64::MAX;

/// What the front says of a request besides its head's bytes; spans point into the head.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The head exactly as received.
    pub head: &'a [u8],
    /// Span of the method.
    pub method: Span,
    /// Span of the whole request target.
    pub target: Span,
    /// Span of the query, without `?`.
    pub query: Span,
    /// The percent-decoded path.
    pub path: &'a [u8],
    /// The client's address as text; empty for a unix socket.
    pub peer: &'a [u8],
    /// See [`RequestHeader::peer_port`].
    pub peer_port: u16,
    /// See [`RequestHeader::listener`].
    pub listener: u16,
    /// See [`RequestHeader::version`].
    pub version: u16,
    /// The body.
    pub body: BodyParts<'a>,
}

/// The body, as the front hands it over.
#[derive(Clone, Copy, Debug)]
pub enum BodyParts<'a> {
    /// No body.
    None,
    /// A small one, copied into the record.
    Inline(&'a [u8]),
    /// Numbers of arena chunks, all full but the last, and the length in bytes.
    Chunks(&'a [u32], u64),
    /// Token of the file's descriptor and the length in bytes.
    File(u64, u64),
    /// No body; token of the descriptor of the client's socket, which is offered.
    Socket(u64),
    /// See [`BodyView::Stream`].
    Stream {
        /// Numbers of the window's chunks.
        chunks: &'a [u32],
        /// See [`BodyView::Stream`].
        length: Option<u64>,
        /// See [`BodyView::Stream`].
        waits_for_leave: bool,
    },
}

/// The record does not fit into the request area: the head is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTooLarge;

/// Writes a record to the beginning of `area`; gives its length. `fields` point into `parts.head`.
#[inline]
pub fn encode(
    area: &mut [u8],
    parts: &RequestParts<'_>,
    fields: impl ExactSizeIterator<Item = FieldRecord>,
) -> Result<usize, RecordTooLarge> {
    let field_count = fields.len();
    let table = size_of::<RequestHeader>();
    let base = table + field_count * size_of::<FieldRecord>();
    let mut writer = Writer { area, at: base };
    let head = writer.put(parts.head)?;
    let path = writer.put(parts.path)?;
    let peer = writer.put(parts.peer)?;
    let mut asks_first = false;
    let (place, body, body_len, body_token) = match parts.body {
        BodyParts::None => (BodyPlace::None, Span::default(), 0, 0),
        BodyParts::Inline(bytes) => (BodyPlace::Inline, writer.put(bytes)?, bytes.len() as u64, 0),
        BodyParts::Chunks(chunks, len) => (BodyPlace::Chunks, writer.put_numbers(chunks)?, len, 0),
        BodyParts::File(token, len) => (BodyPlace::File, Span::default(), len, token),
        BodyParts::Socket(token) => (BodyPlace::Socket, Span::default(), 0, token),
        BodyParts::Stream { chunks, length, waits_for_leave } => {
            asks_first = waits_for_leave;
            (BodyPlace::Stream, writer.put_numbers(chunks)?, length.unwrap_or(UNKNOWN_LENGTH), 0)
        }
    };
    let len = writer.at;
    let header = RequestHeader {
        body_len,
        body_token,
        method: parts.method.shifted(head.start),
        target: parts.target.shifted(head.start),
        path,
        query: parts.query.shifted(head.start),
        peer,
        body,
        body_place: place as u32,
        field_count: field_count as u32,
        listener: parts.listener,
        peer_port: parts.peer_port,
        version: parts.version,
        waits_for_leave: u16::from(asks_first),
    };
    let area = writer.area;
    let mut at = table;
    for field in fields {
        let record = FieldRecord {
            name: field.name.shifted(head.start),
            value: field.value.shifted(head.start),
            known: field.known,
        };
        put_plain(area, at, &record);
        at += size_of::<FieldRecord>();
    }
    put_plain(area, 0, &header);
    Ok(len)
}

/// Changes the token of a body's file, or of the client's socket, in a whole record that is moved to another worker; one that has neither is
/// not touched.
pub fn set_body_token(area: &mut [u8], token: u64) {
    let Some(mut header) = get_plain::<RequestHeader>(area, 0) else { return };
    if [BodyPlace::File, BodyPlace::Socket].iter().any(|place| header.body_place == *place as u32) {
        header.body_token = token;
        put_plain(area, 0, &header);
    }
}

struct Writer<'a> {
    area: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<Span, RecordTooLarge> {
        let end = self.at + bytes.len();
        self.area.get_mut(self.at..end).ok_or(RecordTooLarge)?.copy_from_slice(bytes);
        let span = Span { start: self.at as u32, end: end as u32 };
        self.at = end;
        Ok(span)
    }

    fn put_numbers(&mut self, numbers: &[u32]) -> Result<Span, RecordTooLarge> {
        let start = self.at as u32;
        for number in numbers {
            self.put(&number.to_ne_bytes())?;
        }
        Ok(Span { start, end: self.at as u32 })
    }
}

/// Types of plain integers without padding: every byte pattern is a value, every value a byte pattern.
///
/// # Safety
/// `repr(C)`, only integer fields (or such types again), no padding.
unsafe trait Plain: Copy + Default {}
// SAFETY: integers and Spans (two u32) only; the sizes below prove that there is no padding.
unsafe impl Plain for RequestHeader {}
// SAFETY: as above.
unsafe impl Plain for FieldRecord {}
const _: () = assert!(size_of::<FieldRecord>() == 20);
const _: () = assert!(size_of::<RequestHeader>() == 16 + 6 * 8 + 8 + 8);

fn put_plain<T: Plain>(area: &mut [u8], at: usize, value: &T) {
    // SAFETY: `Plain`: no padding, so all bytes are initialised.
    let bytes = unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>()) };
    if let Some(place) = area.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn get_plain<T: Plain>(record: &[u8], at: usize) -> Option<T> {
    let bytes = record.get(at..at + size_of::<T>())?;
    let mut value = T::default();
    // SAFETY: `Plain`: any bytes are a value; source and target are size_of::<T>() long and distinct.
    unsafe {
        std::ptr::copy_nonoverlapping(
            bytes.as_ptr(),
            std::ptr::from_mut(&mut value).cast::<u8>(),
            size_of::<T>(),
        );
    }
    Some(value)
}

/// A record, read by the worker. Spans that point outside read as empty.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    record: &'a [u8],
    /// The fixed part.
    pub header: RequestHeader,
    fields: usize,
}

/// The body, as the worker finds it. Chunk numbers and lengths still have to be checked by whoever reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyView<'a> {
    /// No body.
    None,
    /// The bytes.
    Inline(&'a [u8]),
    /// Chunk numbers, four bytes each in native order, and the length.
    Chunks(&'a [u8], u64),
    /// Descriptor token and length.
    File(u64, u64),
    /// No body; descriptor token of the client's socket.
    Socket(u64),
    /// It is still coming: to be read by a [`BodyReader`](crate::BodyReader).
    Stream {
        /// Chunk numbers of the window, as above.
        chunks: &'a [u8],
        /// How long it will be, if the client has said so.
        length: Option<u64>,
        /// The client sends nothing before it is asked to.
        waits_for_leave: bool,
    },
}

impl<'a> RequestView<'a> {
    /// Reads the fixed part; None when the record is too short for what it claims.
    pub fn new(record: &'a [u8]) -> Option<Self> {
        let header: RequestHeader = get_plain(record, 0)?;
        let fields = header.field_count as usize;
        let table = fields.checked_mul(size_of::<FieldRecord>())?;
        record.get(size_of::<RequestHeader>()..)?.get(..table)?;
        Some(RequestView { record, header, fields })
    }

    /// The method, as sent.
    pub fn method(&self) -> &'a [u8] {
        self.header.method.of(self.record)
    }

    /// The request target, as sent.
    pub fn target(&self) -> &'a [u8] {
        self.header.target.of(self.record)
    }

    /// The decoded path.
    pub fn path(&self) -> &'a [u8] {
        self.header.path.of(self.record)
    }

    /// The query without `?`, as sent.
    pub fn query(&self) -> &'a [u8] {
        self.header.query.of(self.record)
    }

    /// The client's address as text.
    pub fn peer(&self) -> &'a [u8] {
        self.header.peer.of(self.record)
    }

    /// The fields in order of arrival: number of the well-known name (or 0), name, value.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (u32, &'a [u8], &'a [u8])> + use<'a> {
        let record = self.record;
        (0..self.fields).map(move |i| {
            let at = size_of::<RequestHeader>() + i * size_of::<FieldRecord>();
            let field: FieldRecord = get_plain(record, at).unwrap_or_default();
            (field.known, field.name.of(record), field.value.of(record))
        })
    }

    /// The body.
    pub fn body(&self) -> BodyView<'a> {
        let bytes = self.header.body.of(self.record);
        match self.header.body_place {
            p if p == BodyPlace::Inline as u32 => BodyView::Inline(bytes),
            p if p == BodyPlace::Chunks as u32 => BodyView::Chunks(bytes, self.header.body_len),
            p if p == BodyPlace::File as u32 => BodyView::File(self.header.body_token, self.header.body_len),
            p if p == BodyPlace::Socket as u32 => BodyView::Socket(self.header.body_token),
            p if p == BodyPlace::Stream as u32 => BodyView::Stream {
                chunks: bytes,
                length: (self.header.body_len != UNKNOWN_LENGTH).then_some(self.header.body_len),
                waits_for_leave: self.header.waits_for_leave != 0,
            },
            _ => BodyView::None,
        }
    }
}

#[cfg(test)]
mod tests;
