package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/api/inspect"
	"github.com/wippy-cdc/runtime/internal/appsocket"
	"github.com/wippy-cdc/runtime/internal/plainfile"
)

// remote says which running app a command asks.
type remote struct {
	// dir is the directory of the app, whose socket is used unless there is an address.
	dir       string
	address   string
	tokenFile string
}

// flags adds those that say which app is meant.
func (r *remote) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&r.dir, "dir", "C", ".", "the directory of the app, which is reached by its socket")
	cmd.PersistentFlags().StringVar(&r.address, "addr", "", "the `URL` of an app that runs with --http, instead of its directory")
	cmd.PersistentFlags().StringVar(&r.tokenFile, "token-file", "", "the `FILE` with the token of the app at --addr")
}

// client asks a running app. It must be closed.
type client struct {
	base, token string
	// tokenFile is where the token is from, "" without one.
	tokenFile string
	command   string
	http      *http.Client
}

// connect returns a client of an app; whether one runs is known at the first request.
func (r *remote) connect(command string) (*client, error) {
	c := &client{base: "http://wippy", tokenFile: r.tokenFile, command: command}
	transport := new(http.Transport)
	c.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if r.address == "" {
		if r.tokenFile != "" {
			return nil, fmt.Errorf("%s: --token-file is for an app at --addr: the socket needs none", command)
		}
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return appsocket.Dial(ctx, r.dir) }
		return c, nil
	}
	base, err := url.Parse(strings.TrimSuffix(r.address, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.Path != "" || base.RawQuery != "" {
		return nil, fmt.Errorf("%s: --addr %q: write the URL that the app has told in its log, http://host:port", command, r.address)
	}
	c.base = base.String()
	if r.tokenFile != "" {
		content, err := plainfile.Read(r.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("%s: --token-file %q: %w", command, r.tokenFile, err)
		}
		c.token = strings.TrimSpace(string(content))
	}
	return c, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// send sends a request and returns the answer, whose body must be closed. One that tells of an error is that.
func (c *client) send(ctx context.Context, method, path string, body any, header map[string]string) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", fmt.Sprintf("wippy-%s/%d", c.command, os.Getpid()))
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, c.about(err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if response.StatusCode == http.StatusUnauthorized {
		return nil, c.unknown()
	}
	return nil, fmt.Errorf("%s: %w", c.command, problem(response))
}

// unknown is the error of an app that wants another token than it was sent.
func (c *client) unknown() error {
	if c.tokenFile == "" {
		return errs.New(errs.PermissionDenied, "%s: the app at %s wants a token: give --token-file FILE, the file of its --http-token-file", c.command, c.base)
	}
	return errs.New(errs.PermissionDenied, "%s: the token in %q is not that of the app at %s: give the file of its --http-token-file",
		c.command, c.tokenFile, c.base)
}

// about takes from an error what the user knows: the method and the URL of the socket.
func (c *client) about(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return errs.New(errs.Unavailable, "%s: nothing answers at %s: start the app with --http ADDRESS, or give the URL that it tells in its log (%w)",
			c.command, c.base, err)
	}
	if errs.KindOf(err) == errs.Unknown {
		return errs.New(errs.Unavailable, "%s: %w", c.command, err)
	}
	return fmt.Errorf("%s: %w", c.command, err)
}

// problem returns the error that an answer tells of.
func problem(response *http.Response) error {
	const most = 64 << 10
	content, err := io.ReadAll(io.LimitReader(response.Body, most))
	var told inspect.Problem
	if err != nil || json.Unmarshal(content, &told) != nil || told.Error == nil {
		return fmt.Errorf("what answers is no app of this version: %s", response.Status)
	}
	return &answered{told.Error}
}

// answered is an error that the app has answered with.
type answered struct{ *inspect.Failure }

// Error implements error.
func (a *answered) Error() string { return a.Message }

// Unwrap gives the error its kind.
func (a *answered) Unwrap() error {
	return &errs.Error{Kind: a.Kind, Again: a.Retryable, Err: errors.New(a.Message)}
}

// get asks for a value.
func (c *client) get(ctx context.Context, path string, into any) error {
	return c.exchange(ctx, http.MethodGet, path, nil, into)
}

// exchange sends a value and reads the answer.
func (c *client) exchange(ctx context.Context, method, path string, body, into any) error {
	response, err := c.send(ctx, method, path, body, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("%s: read the answer: %w", c.command, err)
	}
	return nil
}
