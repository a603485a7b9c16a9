//go:build !linux

package appsocket

import "context"

// Process returns the process that listens at the socket of the app in a directory: that which it tells itself.
func Process(_ context.Context, _ string, told int) (int, error) { return told, nil }
