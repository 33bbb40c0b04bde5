//! Makes the binary `world` draw no randomness of the system's: see `src/bin/getrandom.c`.

fn main() {
    const SOURCE: &str = "src/bin/getrandom.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    let objects = cc::Build::new().file(SOURCE).compile_intermediates();
    for object in objects {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
}
