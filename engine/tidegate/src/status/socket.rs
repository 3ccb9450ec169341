//! The Unix socket in a task's state folder: `status.sock`, for its owner alone.
//!
//! A path of a socket has at most 108 bytes, and a state folder may have a longer one. So the folder is opened, and the socket named by
//! `/proc/self/fd/N/status.sock`, which is short.
//!
//! Who binds holds the lock of the folder. A socket that is there was left over by a process that was killed, and is replaced.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

const NAME: &str = "status.sock";
/// Connections that wait to be taken.
const BACKLOG: i32 = 16;

/// Listens until it is dropped, which removes the socket.
#[derive(Debug)]
pub(super) struct Listening {
    folder: File,
}

pub(super) fn listen(folder: &Path) -> io::Result<(UnixListener, Listening)> {
    let folder = File::open(folder)?;
    let path = path_in(&folder);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before it has a name: then the file is made with these rights, and nobody gets in before they are set.
    // SAFETY: changes the mode of a descriptor that lives.
    if unsafe { libc::fchmod(socket.as_raw_fd(), 0o600) } != 0 {
        return Err(io::Error::last_os_error());
    }
    socket.bind(&SockAddr::unix(&path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), Listening { folder }))
}

impl Drop for Listening {
    fn drop(&mut self) {
        // If it is gone, that is what was wanted.
        let _ = std::fs::remove_file(path_in(&self.folder));
    }
}

/// `None` if nobody listens.
pub(super) fn connect(folder: &Path) -> io::Result<Option<UnixStream>> {
    let result = File::open(folder).and_then(|folder| UnixStream::connect(path_in(&folder)));
    match result {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
        Err(error) => Err(error),
    }
}

fn path_in(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{NAME}", folder.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    #[test]
    fn a_socket_is_its_owners_whatever_the_path_and_what_was_left_over() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("x".repeat(200));
        std::fs::create_dir(&folder).unwrap();
        assert!(connect(&folder).unwrap().is_none());
        let (listener, listening) = listen(&folder).unwrap();
        let made = std::fs::metadata(folder.join(NAME)).unwrap();
        assert!(made.file_type().is_socket());
        assert_eq!(made.mode() & 0o777, 0o600);
        assert!(connect(&folder).unwrap().is_some());
        // As kill -9 leaves it.
        drop(listener);
        std::mem::forget(listening);
        assert!(connect(&folder).unwrap().is_none());
        let (_listener, listening) = listen(&folder).unwrap();
        assert!(connect(&folder).unwrap().is_some());
        drop(listening);
        assert!(!folder.join(NAME).exists());
        assert!(connect(&root.path().join("none")).unwrap().is_none());
    }
}
