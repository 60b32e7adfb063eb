//! Tells the crate about the interpreter it is built for, and the embedded tests where its library lies.

fn main() {
    // `Py_GIL_DISABLED` decides whether start_response may be reused; see src/request_runner.rs.
    pyo3_build_config::use_pyo3_cfgs();
    // Only for tests and benches, which link the interpreter: a path of the build machine must not get into the module.
    if let Some(directory) = pyo3_build_config::get().lib_dir() {
        for kind in ["tests", "benches"] {
            println!("cargo:rustc-link-arg-{kind}=-Wl,-rpath,{directory}");
        }
    }
}
