package segment

import "golang.org/x/sys/unix"

// born returns when a file was made, 0 where the file system does not tell: https://man7.org/linux/man-pages/man2/statx.2.html.
func born(path string) int64 {
	var s unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BTIME, &s) != nil || s.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
}
