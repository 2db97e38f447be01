use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};

use pluralis::*;

use crate::support::*;

#[test]
fn a_file_is_there_after_commit_and_not_before() {
    let (context, folder) = (context(), Folder::new());
    let path = folder.join("thing");
    let mut sink = Sink::path(&context, &path).unwrap();
    sink.write(b"in ").unwrap();
    sink.write(b"order").unwrap();
    sink.write(b"").unwrap();
    assert!(!path.exists());
    sink.commit().unwrap();
    assert_eq!(folder.names(), ["thing"]);

    let mut source = Source::path(&context, &path).unwrap();
    assert_eq!(source.size(), 8);
    let mut word = [0; 5];
    source.read_at(3, &mut word).unwrap();
    assert_eq!(&word, b"order");
    refused(Status::TRUNCATED, source.read_at(4, &mut word));
    refused(Status::TRUNCATED, source.read_at(u64::MAX, &mut word));
}

#[test]
fn a_sink_that_is_dropped_leaves_no_trace() {
    let (context, folder) = (context(), Folder::new());
    std::fs::write(folder.join("thing"), "old").unwrap();
    let mut sink = Sink::path(&context, folder.join("thing")).unwrap();
    sink.write(b"new").unwrap();
    drop(sink);
    assert_eq!(folder.names(), ["thing"]);
    assert_eq!(std::fs::read(folder.join("thing")).unwrap(), b"old");
}

#[test]
fn paths_that_are_none() {
    let (context, folder) = (context(), Folder::new());
    let error = refused(Status::NOT_FOUND, Source::path(&context, folder.join("none")));
    assert!(error.message.contains("none"), "{error}");
    refused(Status::IO, Source::path(&context, folder.path()));
    refused(Status::IO, Sink::path(&context, folder.path()));
    refused(Status::INVALID_ARGUMENT, Source::path(&context, "a\0b"));
    refused(Status::INVALID_ARGUMENT, Sink::path(&context, "a\0b"));
}

#[test]
fn a_sink_outlives_its_context_handle() {
    let folder = Folder::new();
    let sink = Sink::path(&context(), folder.join("empty")).unwrap();
    sink.commit().unwrap();
    assert_eq!(Source::path(&context(), folder.join("empty")).unwrap().size(), 0);
}

fn shard() -> Shard {
    let context = context();
    Shard::new(&context, &model(&context), &ShardOptions::new()).unwrap()
}

/// Fails when the given number of bytes is reached, by `fail`.
struct Short<F: FnMut() -> io::Result<usize>>(usize, F);

impl<F: FnMut() -> io::Result<usize>> Write for Short<F> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(data.len()) {
            Some(left) => self.0 = left,
            None => return (self.1)(),
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_writer_says_is_in_the_error() {
    let mut shard = shard();
    let other = || Err(io::Error::new(io::ErrorKind::Other, "the dog ate it"));
    let error = refused(Status::IO, shard.save(Sink::writer(Short(1000, other))));
    assert!(error.where_ == "snapshot" && error.message.contains("the dog ate it"), "{error}");
    let full = || Err(io::Error::from_raw_os_error(28));
    refused(Status::NO_SPACE, shard.save(Sink::writer(Short(1000, full))));
    refused(Status::IO, shard.save(Sink::writer(Short(0, || Ok(0)))));
    shard.save(Sink::writer(io::sink())).unwrap();
}

#[test]
fn a_panic_in_a_writer_goes_on_in_the_caller() {
    let mut shard = shard();
    let panics = || -> io::Result<usize> { panic!("a writer that panics, on purpose") };
    let saved = catch_unwind(AssertUnwindSafe(|| shard.save(Sink::writer(Short(1000, panics)))));
    let payload = saved.unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"a writer that panics, on purpose"));
    shard.save(Sink::writer(io::sink())).unwrap();
}

/// A reader whose third read does what `fail` does.
struct Broken<F: FnMut() -> io::Result<usize>>(Cursor<Vec<u8>>, u32, F);

impl<F: FnMut() -> io::Result<usize>> Read for Broken<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1 == 3 {
            return (self.2)();
        }
        self.0.read(buffer)
    }
}

impl<F: FnMut() -> io::Result<usize>> Seek for Broken<F> {
    fn seek(&mut self, at: SeekFrom) -> io::Result<u64> {
        self.0.seek(at)
    }
}

#[test]
fn readers_that_fail_leave_the_shard_as_it_was() {
    let mut shard = shard();
    let mut snapshot = Vec::new();
    shard.save(Sink::writer(&mut snapshot)).unwrap();
    let before = shard.leaves().unwrap();
    let broken = |fail| Broken(Cursor::new(snapshot.clone()), 0, fail);

    let other: fn() -> _ = || Err(io::Error::new(io::ErrorKind::Other, "a scratch"));
    let error = refused(Status::IO, shard.load(&mut Source::reader(broken(other)).unwrap()));
    assert!(error.message.contains("a scratch"), "{error}");
    let shorter: fn() -> _ = || Ok(0);
    refused(Status::TRUNCATED, shard.load(&mut Source::reader(broken(shorter)).unwrap()));
    let panics: fn() -> _ = || panic!("a reader that panics, on purpose");
    let mut source = Source::reader(broken(panics)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| shard.load(&mut source))).is_err());
    shard.load(&mut source).unwrap();
    assert_eq!(shard.leaves().unwrap(), before);
}

#[test]
fn a_source_of_a_reader() {
    let mut source = Source::reader(Cursor::new(b"0123456789")).unwrap();
    let mut buffer = [0; 4];
    source.read_at(6, &mut buffer).unwrap();
    assert_eq!((source.size(), &buffer), (10, b"6789"));
    source.read_at(10, &mut []).unwrap();
    refused(Status::TRUNCATED, source.read_at(7, &mut buffer));
    struct NoEnd;
    impl Read for NoEnd {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }
    impl Seek for NoEnd {
        fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
            Err(io::Error::new(io::ErrorKind::Unsupported, "a pipe"))
        }
    }
    let error = refused(Status::IO, Source::reader(NoEnd));
    assert!(error.message.contains("a pipe"));
}
