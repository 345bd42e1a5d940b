//! The engine's C interface: the only unsafe corner of the front. A [`Library`] is the loaded shared object, a
//! [`Connection`] one session in it; everything above deals in byte strings and [`Exception`]s.
//!
//! Facts that shape it (libchdb 26.5): one storage path per process, any number of connections, each running one
//! statement at a time on the calling thread. The library must never be unloaded, and every connection must be
//! closed before the process ends, or its teardown crashes.

use std::ffi::{CStr, CString, c_char, c_double, c_int, c_void};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use super::exception::Exception;

type ConnectFn = unsafe extern "C" fn(c_int, *const *const c_char) -> *mut *mut c_void;
type CloseFn = unsafe extern "C" fn(*mut *mut c_void);
type QueryFn = unsafe extern "C" fn(
    *mut c_void,
    *const u8,
    usize,
    *const u8,
    usize,
    *const *const u8,
    *const usize,
    *const *const u8,
    *const usize,
    usize,
) -> *mut c_void;
type DestroyFn = unsafe extern "C" fn(*mut c_void);
type BufferFn = unsafe extern "C" fn(*mut c_void) -> *const u8;
type LengthFn = unsafe extern "C" fn(*mut c_void) -> usize;
type CountFn = unsafe extern "C" fn(*mut c_void) -> u64;
type ElapsedFn = unsafe extern "C" fn(*mut c_void) -> c_double;
type ErrorFn = unsafe extern "C" fn(*mut c_void) -> *const c_char;
type SignalsFn = unsafe extern "C" fn(c_int);

/// The loaded engine. Cloning shares it; it is never unloaded.
#[derive(Clone)]
pub(super) struct Library(Arc<Symbols>);

struct Symbols {
    _object: ManuallyDrop<libloading::Library>,
    connect: ConnectFn,
    close: CloseFn,
    query: QueryFn,
    destroy: DestroyFn,
    buffer: BufferFn,
    length: LengthFn,
    error: ErrorFn,
    elapsed: ElapsedFn,
    counts: [CountFn; 5],
}

/// What a finished statement says of itself, for `X-ClickHouse-Summary`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Summary {
    pub read_rows: u64,
    pub read_bytes: u64,
    pub written_rows: u64,
    pub written_bytes: u64,
    pub result_rows: u64,
    pub elapsed_ns: u64,
}

/// The rows a statement left in memory, already formatted, and its summary.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub bytes: Vec<u8>,
    pub summary: Summary,
}

impl Library {
    /// Loads the shared object at `path` and keeps the engine's hands off this process's signals.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: the object's initialisers run here; it is the engine we were told to trust.
        let object = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
        let symbols = Symbols {
            connect: symbol(&object, "chdb_connect")?,
            close: symbol(&object, "chdb_close_conn")?,
            query: symbol(&object, "chdb_query_with_params_n")?,
            destroy: symbol(&object, "chdb_destroy_query_result")?,
            buffer: symbol(&object, "chdb_result_buffer")?,
            length: symbol(&object, "chdb_result_length")?,
            error: symbol(&object, "chdb_result_error")?,
            elapsed: symbol(&object, "chdb_result_elapsed")?,
            counts: [
                symbol(&object, "chdb_result_storage_rows_read")?,
                symbol(&object, "chdb_result_storage_bytes_read")?,
                symbol(&object, "chdb_result_rows_written")?,
                symbol(&object, "chdb_result_bytes_written")?,
                symbol(&object, "chdb_result_rows_read")?,
            ],
            _object: ManuallyDrop::new(object),
        };
        let signals: SignalsFn = symbol(&symbols._object, "chdb_set_signal_handlers_enabled")?;
        // SAFETY: a plain flag, read at the first connect.
        unsafe { signals(0) };
        Ok(Self(Arc::new(symbols)))
    }

    /// Opens a session. The first one boots the engine with `arguments`; later ones must name the same `--path`.
    /// The engine writes the reason of a failure to standard error and gives us none.
    pub(super) fn connect(&self, arguments: &[CString]) -> Option<Connection> {
        let pointers: Vec<*const c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `count` NUL-terminated strings that outlive the call.
        let connection = unsafe { (self.0.connect)(count, pointers.as_ptr()) };
        let outer = NonNull::new(connection)?;
        // SAFETY: the library returned a valid pointer to its handle.
        if unsafe { outer.as_ptr().read() }.is_null() {
            return None;
        }
        Some(Connection {
            library: self.clone(),
            outer,
        })
    }
}

fn symbol<T: Copy>(object: &libloading::Library, name: &str) -> Result<T, String> {
    // SAFETY: the type given is the one of the library's header.
    unsafe { object.get::<T>(name) }
        .map(|symbol| *symbol)
        .map_err(|_| format!("it has no function {name}: not the engine, or another version of it"))
}

/// One session of the engine. Dropping it closes the session, which also ends anything left of its last statement.
pub(super) struct Connection {
    library: Library,
    outer: NonNull<*mut c_void>,
}

// SAFETY: the engine lets any thread use a session, one at a time, which `&mut self` ensures.
unsafe impl Send for Connection {}

impl Connection {
    /// Runs one statement to its end on this thread. `parameters` are bound as `{name:Type}`, their values in the
    /// escaped form of the HTTP interface's `param_*`.
    pub(super) fn run(
        &mut self,
        statement: &[u8],
        format: &str,
        parameters: &[(String, String)],
    ) -> Result<Answer, Exception> {
        let names: Vec<*const u8> = parameters.iter().map(|(name, _)| name.as_ptr()).collect();
        let name_lengths: Vec<usize> = parameters.iter().map(|(name, _)| name.len()).collect();
        let values: Vec<*const u8> = parameters.iter().map(|(_, value)| value.as_ptr()).collect();
        let value_lengths: Vec<usize> = parameters.iter().map(|(_, value)| value.len()).collect();
        let symbols = &self.library.0;
        // SAFETY: every pointer is good for its length during the call; the handle is open (we hold the session).
        let result = unsafe {
            (symbols.query)(
                self.outer.as_ptr().read(),
                statement.as_ptr(),
                statement.len(),
                format.as_ptr(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        let Some(result) = NonNull::new(result) else {
            return Err(Exception::new(
                210,
                "NETWORK_ERROR",
                "the embedded engine gave no answer",
            ));
        };
        let answer = self.take(result.as_ptr());
        // SAFETY: the result is ours and used no more.
        unsafe { (symbols.destroy)(result.as_ptr()) };
        answer
    }

    /// Reads a result. The numbers of a failed one are garbage and must not be read.
    fn take(&self, result: *mut c_void) -> Result<Answer, Exception> {
        let symbols = &self.library.0;
        // SAFETY: `result` is a live result; its error, buffer and length stay valid until it is destroyed.
        unsafe {
            let error = (symbols.error)(result);
            if !error.is_null() {
                let text = CStr::from_ptr(error).to_string_lossy();
                if !text.is_empty() {
                    return Err(Exception::parse(&text));
                }
            }
            let length = (symbols.length)(result);
            let buffer = (symbols.buffer)(result);
            let bytes = match length {
                0 => Vec::new(),
                _ => std::slice::from_raw_parts(buffer, length).to_vec(),
            };
            let [read_rows, read_bytes, written_rows, written_bytes, result_rows] =
                symbols.counts.map(|count| count(result));
            let elapsed_ns = ((symbols.elapsed)(result).max(0.0) * 1e9) as u64;
            let summary = Summary {
                read_rows,
                read_bytes,
                written_rows,
                written_bytes,
                result_rows,
                elapsed_ns,
            };
            Ok(Answer { bytes, summary })
        }
    }

    /// Runs a statement of our own that returns nothing of interest.
    pub(super) fn tell(&mut self, statement: &str) -> Result<(), Exception> {
        self.run(statement.as_bytes(), "Null", &[]).map(|_| ())
    }

    /// Runs a query of our own and returns its one text.
    pub(super) fn ask(&mut self, query: &str, parameters: &[(String, String)]) -> Result<String, Exception> {
        let answer = self.run(query.as_bytes(), "TSVRaw", parameters)?;
        Ok(String::from_utf8_lossy(&answer.bytes)
            .trim_end_matches('\n')
            .to_owned())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the session is open and nobody else has it.
        unsafe { (self.library.0.close)(self.outer.as_ptr()) };
    }
}
