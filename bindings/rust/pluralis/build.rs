//! Lets the tests, examples and benchmarks of this crate find the library that pluralis-sys found.
//! A program that uses this crate says for itself where its libraries are.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(folder) = std::env::var("DEP_PLURALIS_LIBDIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
}
