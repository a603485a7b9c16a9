package http_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wippy-cdc/runtime/api/errs"
	"github.com/wippy-cdc/runtime/internal/appsocket"
	httpservice "github.com/wippy-cdc/runtime/service/http"
)

// A name that leads to this machine is not enough: a page of another site can have one, and read what it asks for.
func TestOtherHostsAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	_, port, err := net.SplitHostPort(s.server.Addresses()[0].String())
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1:" + port, "localhost:" + port, "LOCALHOST", "[::1]:" + port, "127.0.0.2", "[::1]"} {
		require.Equal(t, http.StatusOK, s.ask("GET", "/api/sources", "", "Host", host).StatusCode, host)
	}
	for _, host := range []string{
		"evil.example", "evil.example:" + port, "127.0.0.1.evil.example", "localhost.evil.example:" + port, "evil.example:127.0.0.1",
		"10.0.0.1", "0.0.0.0", "wippy", "127.1", "[::ffff:10.0.0.1]",
	} {
		for _, path := range []string{"/", "/api/sources", "/api/status", "/api/sources/app:cdc/changes", "/healthz", "/readyz", "/metrics", "/login"} {
			s.ask("GET", path, "", "Host", host).refused(t, http.StatusForbidden, errs.PermissionDenied, "is not this app")
		}
	}
}

// What a page of another site makes a browser send is refused, even if the browser would not show it the answer.
func TestOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	here := s.server.Addresses()[0].String()
	for _, path := range []string{"/api/sources", "/api/sources/app:cdc/changes", "/metrics"} {
		for _, origin := range []string{
			"http://evil.example", "null", "", "http://localhost:1", "http://" + here + ".evil.example", "file://", "ftp://" + here, "http://evil@" + here + "x",
		} {
			s.ask("GET", path, "", "Origin", origin).refused(t, http.StatusForbidden, errs.PermissionDenied, fmt.Sprintf(
				"a page of another site must not use this app (Origin %q, Host %q): if it is the app's own, by a proxy, make that pass on", origin, here))
		}
		for _, site := range []string{"cross-site", "same-site", "anything"} {
			s.ask("GET", path, "", "Sec-Fetch-Site", site).refused(t, http.StatusForbidden, errs.PermissionDenied, "a page of another site")
			s.ask("GET", path, "", "Sec-Fetch-Site", site, "Sec-Fetch-Mode", "navigate").refused(t, http.StatusForbidden, errs.PermissionDenied, "")
		}
	}
	two := s.ask("GET", "/api/sources", "", "Origin", "http://"+here, "Origin", "http://evil.example")
	two.refused(t, http.StatusForbidden, errs.PermissionDenied, "a page of another site")
	s.ask("POST", "/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate").refused(t, http.StatusForbidden, errs.PermissionDenied, "")
	require.NotEqual(t, http.StatusForbidden, s.ask("GET", "/", "", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate").StatusCode, "a link")
	for _, site := range []string{"same-origin", "none"} {
		require.Equal(t, http.StatusOK, s.ask("GET", "/api/sources", "", "Origin", "http://"+here, "Sec-Fetch-Site", site).StatusCode)
	}
	a := s.ask("GET", "/api/sources", "")
	require.Empty(t, a.Header.Get("Access-Control-Allow-Origin"))
	for header, value := range map[string]string{
		"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	} {
		require.Equal(t, value, a.Header.Get(header))
	}
	require.Contains(t, a.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
}

// No way of writing a path leads past the guard, or to anything that is not in the table.
func TestPathsLeadNowhereElse(t *testing.T) {
	t.Parallel()
	s := serve(t, withToken(t))
	for _, path := range []string{
		"/api/../api/sources", "//api/sources", "/api/./sources", "/healthz/../api/sources", "/%2e%2e/api/sources", "/api%2fsources",
		"/healthz%2f..%2fapi/sources", "/API/sources", "/api/sources/", "/api/sources/app:cdc%2f..", "/api/sources/..%2f..%2fhealthz", "/healthz/api/sources",
		"/api/sources?/healthz", "/api/sources;/healthz", "/login/../api/sources",
	} {
		require.Equal(t, http.StatusUnauthorized, s.raw("GET "+path+" HTTP/1.1\r\nHost: localhost\r\n"), path)
		require.Equal(t, http.StatusForbidden, s.raw("GET "+path+" HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"), path)
	}
	with := "Authorization: Bearer " + token + "\r\n"
	for path, status := range map[string]int{
		"/api/sources/app:cdc%2f..": http.StatusNotFound, "/api/sources/..%2f..%2fhealthz": http.StatusNotFound, "/api/sources/%00": http.StatusNotFound,
		"/api/sources/app": http.StatusNotFound, "/api%2fsources": http.StatusNotFound, "/api/sources/": http.StatusNotFound,
		"/etc/passwd": http.StatusNotFound, "/..%2f..%2fetc%2fpasswd": http.StatusNotFound,
	} {
		require.Equal(t, status, s.raw("GET "+path+" HTTP/1.1\r\nHost: localhost\r\n"+with), path)
	}
	require.Equal(t, http.StatusBadRequest, s.raw("GET /api/sources HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n"+with))
	require.Equal(t, http.StatusUnauthorized, s.raw("GET http://localhost/api/sources HTTP/1.1\r\nHost: evil.example\r\n"))
}

// raw sends the head of a request as it is and returns the status of the answer.
func (s *site) raw(head string) int {
	s.t.Helper()
	conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", s.server.Addresses()[0].String())
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, conn.Close()) }()
	_, err = io.WriteString(conn, head+"Connection: close\r\n\r\n")
	require.NoError(s.t, err)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(s.t, err)
	require.NoError(s.t, response.Body.Close())
	return response.StatusCode
}

func TestWithoutTheTokenNothingIsTold(t *testing.T) {
	t.Parallel()
	s := serve(t, withToken(t))
	for _, path := range []string{"/api/sources", "/api/status", "/api/sources/app:cdc", "/api/sources/app:cdc/changes", "/metrics", "/page.js", "/login"} {
		for _, headers := range [][]string{
			nil,
			{"Authorization", "Bearer"},
			{"Authorization", "Bearer "},
			{"Authorization", "Bearer wrong-horse-battery"},
			{"Authorization", "Bearer " + token + "x"},
			{"Authorization", "Bearer " + token[:len(token)-1]},
			{"Authorization", token},
			{"Authorization", "Basic " + token},
			{"Cookie", "wippy=" + token},
			{"Cookie", s.cookieName() + "=" + token},
			{"Cookie", s.cookieName() + "="},
			{"X-Token", token},
		} {
			a := s.ask("GET", path, "", headers...)
			a.refused(t, http.StatusUnauthorized, errs.PermissionDenied, "the token is missing or wrong")
			require.Equal(t, `Bearer realm="wippy"`, a.Header.Get("WWW-Authenticate"))
		}
		s.ask("GET", path+"?token="+token, "").refused(t, http.StatusUnauthorized, errs.PermissionDenied, "")
	}
	require.Equal(t, http.StatusOK, s.ask("GET", "/api/sources", "", "Authorization", "Bearer "+token).StatusCode)
	require.Equal(t, http.StatusOK, s.ask("GET", "/api/sources", "", "Authorization", "bearer  "+token, "Host", "app.example").StatusCode,
		"with a token the app may have any name")
	require.Equal(t, "ok\n", s.ask("GET", "/healthz", "").body)
	ready := s.ask("GET", "/readyz", "")
	require.Equal(t, http.StatusOK, ready.StatusCode)
	require.Empty(t, ready.body, "the code alone")
	require.NotContains(t, s.log.String(), token)
}

func (s *site) cookieName() string {
	_, port, err := net.SplitHostPort(s.server.Addresses()[0].String())
	require.NoError(s.t, err)
	return "wippy-" + port
}

// A browser gets in by a form, and from then on with a cookie that does not tell the token.
func TestTheTokenIsExchangedForACookie(t *testing.T) {
	t.Parallel()
	s := serve(t, withToken(t))
	page := s.ask("GET", "/", "")
	require.Equal(t, http.StatusUnauthorized, page.StatusCode)
	require.Contains(t, page.body, `<form method="post" action="/login">`)
	form := []string{"Content-Type", "application/x-www-form-urlencoded", "Origin", "http://" + s.server.Addresses()[0].String()}
	wrong := s.ask("POST", "/login", "token=wrong-horse-battery", form...)
	require.Equal(t, http.StatusUnauthorized, wrong.StatusCode)
	require.Contains(t, wrong.body, "That is not the token.")
	require.Empty(t, wrong.Cookies())
	require.Equal(t, http.StatusUnauthorized, s.ask("POST", "/login?token="+token, "", form...).StatusCode, "not in the address")
	s.ask("POST", "/login", "token="+token, form[0], form[1], "Origin", "http://evil.example").refused(t, http.StatusForbidden, errs.PermissionDenied, "")
	huge := s.ask("POST", "/login", "token="+strings.Repeat("x", 1<<20), form...)
	require.Equal(t, http.StatusBadRequest, huge.StatusCode)

	right := s.ask("POST", "/login", "token="+token, form...)
	require.Equal(t, http.StatusSeeOther, right.StatusCode)
	require.Equal(t, "/", right.Header.Get("Location"))
	require.Len(t, right.Cookies(), 1)
	cookie := right.Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.NotContains(t, cookie.String(), token)
	require.Equal(t, http.StatusOK, s.ask("GET", "/api/sources", "", "Cookie", cookie.Name+"="+cookie.Value).StatusCode)
	twice := s.ask("POST", "/login", "token="+token, append(form, "Cookie", cookie.Name+"="+cookie.Value)...)
	require.Equal(t, http.StatusSeeOther, twice.StatusCode, "a second page with the form")
	s.ask("GET", "/api/sources", "", "Cookie", cookie.Name+"="+cookie.Value, "Origin", "http://evil.example").
		refused(t, http.StatusForbidden, errs.PermissionDenied, "a page of another site")
	again := serve(t, withToken(t))
	require.Equal(t, http.StatusOK, again.ask("GET", "/api/sources", "", "Cookie", again.cookieName()+"="+cookie.Value).StatusCode,
		"a page that is open goes on when the app was started again")
}

func TestTheSocketNeedsNoTokenButTheRightHost(t *testing.T) {
	t.Parallel()
	s := serve(t, func(settings *httpservice.Settings) {
		withToken(t)(settings)
		settings.Socket = true
	})
	s.bySocket()
	for _, host := range []string{"wippy", "localhost:8080"} { // the second is a tunnel
		require.Equal(t, http.StatusOK, s.ask("GET", "/api/sources", "", "Host", host).StatusCode)
	}
	s.ask("GET", "/api/sources", "", "Host", "evil.example").refused(t, http.StatusForbidden, errs.PermissionDenied, "is not this app")
	s.ask("GET", "/api/sources", "", "Host", "wippy", "Origin", "http://evil.example").refused(t, http.StatusForbidden, errs.PermissionDenied, "")
}

func TestTheHeadOfARequestIsLimited(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	require.Equal(t, http.StatusOK, s.ask("GET", "/healthz", "", "X", strings.Repeat("x", 8<<10)).StatusCode)
	for _, request := range []string{"/healthz", "/healthz?" + strings.Repeat("x", 64<<10)} {
		asked, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url(request), http.NoBody)
		require.NoError(t, err)
		if request == "/healthz" {
			asked.Header.Set("X", strings.Repeat("x", 64<<10))
		}
		response, err := s.client.Do(asked)
		if err != nil { // the server does not read the rest, and some answers are lost with it
			require.True(t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE), err)
			continue
		}
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
	}
}

func TestConfigurationsThatAreNotSafe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(content string) string {
		path := filepath.Join(dir, strconv.Itoa(len(content)))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	for _, c := range []struct {
		config httpservice.Config
		text   string
	}{
		{httpservice.Config{Address: "0.0.0.0:80"}, "can be reached from other machines, which could read all changes: give --http-token-file"},
		{httpservice.Config{Address: "[::]:80"}, "can be reached from other machines"},
		{httpservice.Config{Address: "example.com:80"}, "can be reached from other machines"},
		{httpservice.Config{Address: "example.com"}, "write host:port"},
		{httpservice.Config{TokenFile: "x"}, "give --http as well"},
		{httpservice.Config{Address: "0", TokenFile: filepath.Join(dir, "nowhere")}, "no such file"},
		{httpservice.Config{Address: "0", TokenFile: dir}, "it is a directory"},
		{httpservice.Config{Address: "0", TokenFile: file("short")}, "has 5 characters, and needs 16 at least"},
		{httpservice.Config{Address: "0", TokenFile: file("sixteen letters \n and more")}, "has spaces within"},
		{httpservice.Config{Address: "0", TokenFile: file("")}, "has 0 characters"},
	} {
		err := c.config.Validate()
		require.Equal(t, errs.Invalid, errs.KindOf(err), c.text)
		require.ErrorContains(t, err, c.text)
		require.NotContains(t, err.Error(), "sixteen")
	}
	for _, config := range []httpservice.Config{
		{}, {Socket: true}, {Address: ":0"}, {Address: "localhost:1"}, {Address: "[::1]:1"}, {Address: "0.0.0.0:1", TokenFile: file(token)},
	} {
		require.NoError(t, config.Validate())
	}
}

func TestATokenFileThatOthersCanReadIsToldOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(token), 0o600))
	with := func(settings *httpservice.Settings) { settings.TokenFile = file }
	require.NotContains(t, serve(t, with).log.String(), "other users")
	require.NoError(t, os.Chmod(file, 0o644))
	log := serve(t, with).log.String()
	require.Contains(t, log, `level=WARN msg="other users of this machine may read the token file: chmod 600 makes it that of its owner"`)
	require.Contains(t, log, "mode=644")
}

// An app runs without a socket if it cannot have one.
func TestWithoutASocketTheAppIsWarned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other, err := appsocket.Listen(t.Context(), dir)
	require.NoError(t, err)
	s := serve(t, func(settings *httpservice.Settings) { settings.Dir, settings.Socket = dir, true })
	require.Len(t, s.server.Addresses(), 1)
	require.Contains(t, s.log.String(), `level=WARN msg="there is no socket: wippy status, tail and consumers cannot reach this run"`)
	require.Contains(t, s.log.String(), fmt.Sprintf("of process %d", os.Getpid()))
	require.NoError(t, other.Close())
}
