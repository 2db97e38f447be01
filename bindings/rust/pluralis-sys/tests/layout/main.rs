//! Constants, sizes and offsets are those that the C compiler sees: tests/abi/layout.txt.
use pluralis_sys::*;
use std::collections::BTreeMap;
use std::mem::{size_of, MaybeUninit};
use std::ptr::addr_of;

/// What a name is: its value, or size, or offset and size. Values of 64 bits count as signed.
type Table = BTreeMap<String, Vec<i64>>;

fn size_of_target<T>(_: *const T) -> usize {
    size_of::<T>()
}

macro_rules! constants {
    ($($name:ident: $kind:ty,)*) => {
        fn constants(table: &mut Table) {
            $(
                let value: $kind = $name;
                table.insert(stringify!($name).into(), vec![value as i64]);
            )*
        }
    };
}

macro_rules! structs {
    ($($name:ident { $($field:ident = $c_name:literal,)* })*) => {
        fn structs(table: &mut Table) {
            $(
                table.insert(stringify!($name).into(), vec![size_of::<$name>() as i64]);
                let some = MaybeUninit::<$name>::uninit();
                let start = some.as_ptr();
                $(
                    // Safety: only the address is taken.
                    let at = unsafe { addr_of!((*start).$field) };
                    let name = format!("{}.{}", stringify!($name), $c_name);
                    let offset = at as usize - start as usize;
                    table.insert(name, vec![offset as i64, size_of_target(at) as i64]);
                )*
            )*
        }
    };
}

include!("listing.rs");

/// Lines are `constant NAME value`, `status NAME value`, `struct NAME size` and
/// `field STRUCT.FIELD offset size`.
fn c_table() -> Table {
    let path = std::env::var("PLURALIS_LAYOUT")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/abi/layout.txt").into());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut table = Table::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().skip(1);
        let name = words.next().expect(line);
        let numbers = words.map(|n| n.parse::<i128>().expect(line) as i64).collect();
        table.insert(name.to_string(), numbers);
    }
    table
}

#[test]
fn same_as_in_c() {
    let mut rust = Table::new();
    constants(&mut rust);
    structs(&mut rust);
    let c = c_table();
    assert!(c.len() > 250, "only {} lines", c.len());
    let names: std::collections::BTreeSet<_> = rust.keys().chain(c.keys()).collect();
    let wrong: Vec<String> = names
        .into_iter()
        .filter(|name| rust.get(*name) != c.get(*name))
        .map(|name| format!("{name}: C {:?}, Rust {:?}", c.get(name), rust.get(name)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
