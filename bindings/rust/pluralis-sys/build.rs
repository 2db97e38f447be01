//! Finds libpluralis: in PLURALIS_LIB_DIR if that is set, else by pkg-config.
use std::env;
use std::path::Path;
use std::process::{exit, Command};

const LIBRARY: &str = "libpluralis.so";

/// Tells cargo, and by DEP_PLURALIS_LIBDIR the build scripts of crates that depend on this one. The rpath is for the
/// tests of this crate alone: cargo does not pass it on.
fn found_in(folder: &str) {
    println!("cargo:rustc-link-search=native={folder}");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    println!("cargo:libdir={folder}");
}

fn by_variable(folder: &str) -> Result<(), String> {
    if !Path::new(folder).join(LIBRARY).is_file() {
        return Err(format!("PLURALIS_LIB_DIR is {folder}, where there is no {LIBRARY}"));
    }
    // The package's own folder is where this runs; the linker runs elsewhere.
    let folder = Path::new(folder).canonicalize().map_err(|e| e.to_string())?;
    found_in(&folder.to_string_lossy());
    println!("cargo:rustc-link-lib=dylib=pluralis");
    Ok(())
}

fn pkg_config(arguments: &[&str]) -> Result<String, String> {
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let done = Command::new(&program)
        .args(arguments)
        .output()
        .map_err(|e| format!("{program} cannot be run: {e}"))?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).trim().to_string());
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_string())
}

/// Until 1.0 a minor version may change the ABI, so only this one will do.
fn by_pkg_config() -> Result<(), String> {
    pkg_config(&["--print-errors", "--exists", "pluralis >= 0.1 pluralis < 0.2"])?;
    found_in(&pkg_config(&["--variable=libdir", "pluralis"])?);
    for word in pkg_config(&["--libs", "pluralis"])?.split_whitespace() {
        if let Some(name) = word.strip_prefix("-l") {
            println!("cargo:rustc-link-lib=dylib={name}");
        } else if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={folder}");
        }
    }
    Ok(())
}

fn main() {
    for name in ["PLURALIS_LIB_DIR", "PKG_CONFIG", "PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let result = match env::var("PLURALIS_LIB_DIR") {
        Ok(folder) => by_variable(&folder),
        Err(_) => by_pkg_config().map_err(|why| {
            format!(
                "pkg-config does not know pluralis 0.1: {why}\n\
                 Install libpluralis, set PKG_CONFIG_PATH to the folder of pluralis.pc,\n\
                 or set PLURALIS_LIB_DIR to the folder of {LIBRARY}."
            )
        }),
    };
    if let Err(why) = result {
        eprintln!("libpluralis not found. {why}");
        exit(1);
    }
}
