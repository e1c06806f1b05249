//! The words of ASGI's messages: interned keys, and reading what apps send.

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyDict, PyInt, PyList, PyMemoryView, PyString, PyTuple};

macro_rules! words {
    ($($field:ident: $text:literal),* $(,)?) => {
        /// Strings that occur in every message.
        pub struct Words { $(pub $field: Py<PyString>),* }

        impl Words {
            pub fn new(py: Python<'_>) -> Self {
                Self { $($field: PyString::intern(py, $text).unbind()),* }
            }
        }
    };
}

words! {
    kind: "type",
    body: "body",
    more_body: "more_body",
    status: "status",
    headers: "headers",
    trailers: "trailers",
    more_trailers: "more_trailers",
    links: "links",
    path: "path",
    file: "file",
    offset: "offset",
    count: "count",
    text: "text",
    bytes: "bytes",
    code: "code",
    reason: "reason",
    subprotocol: "subprotocol",
    http_request: "http.request",
    http_disconnect: "http.disconnect",
    websocket_connect: "websocket.connect",
    websocket_receive: "websocket.receive",
    websocket_disconnect: "websocket.disconnect",
    fileno: "fileno",
    set_result: "set_result",
    done: "done",
    cancel: "cancel",
    add_done_callback: "add_done_callback",
}

/// What an app may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Start,
    Body,
    Trailers,
    Hint,
    Path,
    Copy,
    Debug,
    Accept,
    Send,
    Close,
    DenialStart,
    DenialBody,
}

const KINDS: [(&str, Kind); 12] = [
    ("http.response.body", Kind::Body),
    ("http.response.start", Kind::Start),
    ("websocket.send", Kind::Send),
    ("websocket.accept", Kind::Accept),
    ("websocket.close", Kind::Close),
    ("http.response.trailers", Kind::Trailers),
    ("http.response.early_hint", Kind::Hint),
    ("http.response.pathsend", Kind::Path),
    ("http.response.zerocopysend", Kind::Copy),
    ("http.response.debug", Kind::Debug),
    ("websocket.http.response.start", Kind::DenialStart),
    ("websocket.http.response.body", Kind::DenialBody),
];

/// The types of messages, interned: most apps send the very same objects.
pub struct Kinds(Vec<(Py<PyString>, Kind)>);

impl Kinds {
    pub fn new(py: Python<'_>) -> Self {
        Self(
            KINDS
                .iter()
                .map(|(text, kind)| (PyString::intern(py, text).unbind(), *kind))
                .collect(),
        )
    }

    /// The type of `message`; an error names what is wrong with it.
    pub fn of(&self, message: &Message<'_>, words: &Words) -> PyResult<Kind> {
        let Some(kind) = message.get(&words.kind)? else {
            return Err(PyValueError::new_err("an ASGI message needs a \"type\""));
        };
        if let Some((_, known)) = self.0.iter().find(|(text, _)| text.as_ptr() == kind.as_ptr()) {
            return Ok(*known);
        }
        let Ok(text) = kind.cast::<PyString>() else {
            return Err(PyTypeError::new_err(format!(
                "the \"type\" of an ASGI message must be str, not {kind:?}"
            )));
        };
        let text = text.to_str()?;
        let known = KINDS.iter().find(|(name, _)| *name == text);
        known
            .map(|(_, kind)| *kind)
            .ok_or_else(|| PyValueError::new_err(format!("unknown ASGI message type {text:?}")))
    }
}

/// One message of the app.
pub struct Message<'py>(Bound<'py, PyDict>);

impl<'py> Message<'py> {
    pub fn new(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(dict) = object.cast::<PyDict>() {
            return Ok(Self(dict.clone()));
        }
        let dict = PyDict::new(object.py());
        match object.call_method0(intern!(object.py(), "items")) {
            Ok(items) => {
                for pair in items.try_iter()? {
                    let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
                    dict.set_item(key, value)?;
                }
                Ok(Self(dict))
            }
            Err(_) => Err(PyTypeError::new_err(format!(
                "an ASGI message must be a dict, not {}",
                object.get_type().name()?
            ))),
        }
    }

    /// The value of a key; none: it is absent.
    pub fn get(&self, key: &Py<PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = self.0.py();
        // SAFETY: a dict and a string; the borrowed result becomes a reference of our own at once.
        unsafe {
            let value = ffi::PyDict_GetItemWithError(self.0.as_ptr(), key.as_ptr());
            if value.is_null() {
                return match PyErr::take(py) {
                    Some(error) => Err(error),
                    None => Ok(None),
                };
            }
            Ok(Some(Bound::from_borrowed_ptr(py, value)))
        }
    }

    /// The same, where None counts as absent.
    pub fn some(&self, key: &Py<PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.get(key)?.filter(|value| !value.is_none()))
    }

    pub fn flag(&self, key: &Py<PyString>) -> PyResult<bool> {
        match self.get(key)? {
            None => Ok(false),
            Some(value) => value.is_truthy(),
        }
    }

    /// A whole number.
    pub fn number(&self, key: &Py<PyString>, what: &str) -> PyResult<Option<i64>> {
        let Some(value) = self.some(key)? else { return Ok(None) };
        if value.cast::<PyInt>().is_err() || value.is_instance_of::<PyBool>() {
            return Err(PyTypeError::new_err(format!("{what} must be an int, not {value:?}")));
        }
        value.extract().map(Some)
    }

    pub fn text(&self, key: &Py<PyString>, what: &str) -> PyResult<Option<Bound<'py, PyString>>> {
        let Some(value) = self.some(key)? else { return Ok(None) };
        value
            .cast_into::<PyString>()
            .map(Some)
            .map_err(|error| PyTypeError::new_err(format!("{what} must be str, not {:?}", error.into_inner())))
    }
}

/// The bytes of a part of a body: bytes, or a copy of what can be read as such.
pub fn part<'py>(value: &Bound<'py, PyAny>, what: &str) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if value.is_instance_of::<PyByteArray>() || value.is_instance_of::<PyMemoryView>() {
        let bytes = value.py().get_type::<PyBytes>().call1((value,))?;
        return Ok(bytes.cast_into()?);
    }
    Err(PyTypeError::new_err(format!(
        "{what} must be bytes, not {}",
        value.get_type().name()?
    )))
}

/// Calls `each` with the name and value of every header.
pub fn each_header(
    headers: &Bound<'_, PyAny>,
    what: &str,
    mut each: impl FnMut(&[u8], &[u8], &Bound<'_, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let mut one = |pair: &Bound<'_, PyAny>| -> PyResult<()> {
        let (name, value) = pair_of(pair, what)?;
        each(bytes_of(&name, pair, what)?, bytes_of(&value, pair, what)?, pair)
    };
    if let Ok(list) = headers.cast::<PyList>() {
        for index in 0..list.len() {
            one(&list.get_item(index)?)?;
        }
        return Ok(());
    }
    for pair in headers.try_iter().map_err(|_| bad_headers(what, headers))? {
        one(&pair?)?;
    }
    Ok(())
}

type Pair<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

fn pair_of<'py>(pair: &Bound<'py, PyAny>, what: &str) -> PyResult<Pair<'py>> {
    if let Ok(tuple) = pair.cast::<PyTuple>() {
        if tuple.len() == 2 {
            return Ok((tuple.get_item(0)?, tuple.get_item(1)?));
        }
    } else if let Ok(list) = pair.cast::<PyList>() {
        if list.len() == 2 {
            return Ok((list.get_item(0)?, list.get_item(1)?));
        }
    }
    Err(bad_headers(what, pair))
}

fn bytes_of<'a>(value: &'a Bound<'_, PyAny>, pair: &Bound<'_, PyAny>, what: &str) -> PyResult<&'a [u8]> {
    match value.cast::<PyBytes>() {
        Ok(bytes) => Ok(bytes.as_bytes()),
        Err(_) => Err(bad_headers(what, pair)),
    }
}

fn bad_headers(what: &str, found: &Bound<'_, PyAny>) -> PyErr {
    PyTypeError::new_err(format!(
        "the headers of {what} must be [name, value] pairs of bytes, not {found:?}"
    ))
}

/// The error for a message at the wrong time.
pub fn misplaced(kind: Kind, state: &str) -> PyErr {
    let name = KINDS
        .iter()
        .find(|(_, known)| *known == kind)
        .map_or("", |(name, _)| name);
    PyRuntimeError::new_err(format!("the app sent {name} {state}"))
}
