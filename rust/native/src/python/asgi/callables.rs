//! `receive` and `send` as objects that Python takes for coroutine functions (`inspect.iscoroutinefunction`): Channels'
//! synchronous consumers, asgiref and decorators ask before they use them.
//!
//! A bound method of ours cannot carry the mark. So it stands behind an object that looks like a function: `inspect` goes
//! by `__code__`, on every version. It is called as fast as the method: its vectorcall (PEP 590) passes the arguments on to
//! the method's C function.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::ffi::{c_int, c_void, CStr};
use std::mem::offset_of;
use std::ptr::null_mut;

/// What `receive` and `send` look like.
const LIKE: &CStr = c"async def receive(): ...
async def send(message, /): ...
";

/// Makes coroutine functions of methods.
pub struct CoroutineFunctions {
    kind: Py<PyType>,
    receive: Py<PyAny>,
    send: Py<PyAny>,
}

/// The object, as C sees it. `method`, `name` and `code` are null or references of its own.
#[repr(C)]
struct Function {
    base: ffi::PyObject,
    vectorcall: Option<ffi::vectorcallfunc>,
    /// The method's C function and what it is called with, where it takes its arguments as vectorcall has them.
    direct: Option<ffi::PyCFunctionFastWithKeywords>,
    owner: *mut ffi::PyObject,
    method: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    code: *mut ffi::PyObject,
    /// Python's list of weak references.
    weak: *mut ffi::PyObject,
}

impl CoroutineFunctions {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let like = pyo3::types::PyDict::new(py);
        py.run(LIKE, Some(&like), None)?;
        Ok(Self {
            kind: new_type(py)?,
            receive: like.as_any().get_item("receive")?.unbind(),
            send: like.as_any().get_item("send")?.unbind(),
        })
    }

    /// `receive` of an exchange.
    pub fn receive(&self, exchange: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.function(exchange.getattr("receive")?, self.receive.bind(exchange.py()))
    }

    /// `send` of an exchange.
    pub fn send(&self, exchange: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.function(exchange.getattr("send")?, self.send.bind(exchange.py()))
    }

    fn function(&self, method: Bound<'_, PyAny>, like: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = method.py();
        let (name, code) = (like.getattr("__name__")?, like.getattr("__code__")?);
        // SAFETY: the type's instances are `Function`s, and the new one is zeroed; each field gets a reference of its own.
        unsafe {
            let object = ffi::PyType_GenericAlloc(self.kind.as_ptr().cast(), 0);
            let object = Bound::from_owned_ptr_or_err(py, object)?;
            let function = object.as_ptr().cast::<Function>();
            (*function).direct = direct_of(&method);
            (*function).vectorcall = match (*function).direct {
                Some(_) => Some(call_direct),
                None => Some(pass_on),
            };
            (*function).owner = ffi::PyCFunction_GetSelf(method.as_ptr());
            (*function).method = method.into_ptr();
            (*function).name = name.into_ptr();
            (*function).code = code.into_ptr();
            Ok(object.unbind())
        }
    }
}

fn new_type(py: Python<'_>) -> PyResult<Py<PyType>> {
    let member = |name: &'static CStr, kind: c_int, offset: usize| ffi::PyMemberDef {
        name: name.as_ptr(),
        type_code: kind,
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: std::ptr::null(),
    };
    let mut members = [
        member(
            c"__vectorcalloffset__",
            ffi::Py_T_PYSSIZET,
            offset_of!(Function, vectorcall),
        ),
        member(c"__weaklistoffset__", ffi::Py_T_PYSSIZET, offset_of!(Function, weak)),
        member(c"__name__", ffi::Py_T_OBJECT_EX, offset_of!(Function, name)),
        member(c"__code__", ffi::Py_T_OBJECT_EX, offset_of!(Function, code)),
        ffi::PyMemberDef::default(),
    ];
    let slot = |slot: c_int, pfunc: *mut c_void| ffi::PyType_Slot { slot, pfunc };
    let mut slots = [
        slot(ffi::Py_tp_dealloc, dealloc as *mut c_void),
        slot(ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
        slot(ffi::Py_tp_members, members.as_mut_ptr().cast()),
        slot(0, null_mut()),
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION;
    let mut spec = ffi::PyType_Spec {
        name: c"hostler._native.coroutine_function".as_ptr(),
        basicsize: size_of::<Function>() as c_int,
        itemsize: 0,
        flags: flags as u32,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: names are static; Python copies the tables. The sizes and offsets are those of `Function`.
    let kind = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&raw mut spec))? };
    kind.setattr("__defaults__", py.None())?;
    kind.setattr("__kwdefaults__", py.None())?;
    Ok(kind.cast_into::<PyType>()?.unbind())
}

/// The C function of a method, if it takes an array of arguments and names.
fn direct_of(method: &Bound<'_, PyAny>) -> Option<ffi::PyCFunctionFastWithKeywords> {
    // SAFETY: methods of our classes are CFunctions; the flags say what the pointer is.
    unsafe {
        let function = ffi::PyCFunction_GetFunction(method.as_ptr())?;
        match ffi::PyCFunction_GetFlags(method.as_ptr()) {
            flags if flags == ffi::METH_FASTCALL | ffi::METH_KEYWORDS => {
                Some(std::mem::transmute::<ffi::PyCFunction, ffi::PyCFunctionFastWithKeywords>(function))
            }
            _ => None,
        }
    }
}

/// A call of the method's C function.
unsafe extern "C" fn call_direct(
    function: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let function = function.cast::<Function>();
    // SAFETY: as in `pass_on`; `direct` is there where this is the vectorcall, and the method keeps its owner.
    unsafe {
        match (*function).direct {
            Some(direct) => direct((*function).owner, arguments, ffi::PyVectorcall_NARGS(count), names),
            None => pass_on(function.cast(), arguments, count, names),
        }
    }
}

/// A call: the method's.
unsafe extern "C" fn pass_on(
    function: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: Python calls it with a `Function`, which keeps its method, and with arguments as PEP 590 has them.
    unsafe { ffi::PyObject_Vectorcall((*function.cast::<Function>()).method, arguments, count, names) }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    let function = object.cast::<Function>();
    // SAFETY: the last reference to a `Function` is gone; an instance holds a reference to its type, made on the heap.
    unsafe {
        if !(*function).weak.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        let kind = ffi::Py_TYPE(object);
        ffi::Py_XDECREF((*function).method);
        ffi::Py_XDECREF((*function).name);
        ffi::Py_XDECREF((*function).code);
        ffi::PyObject_Free(object.cast());
        ffi::Py_DECREF(kind.cast());
    }
}
