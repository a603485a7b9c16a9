package tests_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

const (
	// chromiumVariable names the browser, if it is none of those that are looked for.
	chromiumVariable = "WIPPY_TEST_CHROMIUM"
	// patience is how long a test waits for what must come.
	patience = 2 * time.Minute
)

func chromium(t *testing.T) string {
	t.Helper()
	names := []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome"}
	if name := os.Getenv(chromiumVariable); name != "" {
		names = []string{name}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	require.FailNow(t, "Chromium is not installed: sudo apt-get install chromium, or set "+chromiumVariable, "looked for: %v", names)
	return ""
}

// browserPage is a page of a browser of its own.
type browserPage struct {
	ctx context.Context
	mu  sync.Mutex
	// errors are what the console shows as such, requests the addresses that were asked for.
	errors, requests []string
}

// newPage starts a browser, which ends with the test.
func newPage(t *testing.T) *browserPage {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.WindowSize(1400, 1000),
		chromedp.WSURLReadTimeout(patience))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which does not work for root
	}
	allocator, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(end)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		defer cancel()
		require.NoError(t, chromedp.Cancel(ctx))
	})
	p := &browserPage{ctx: ctx}
	require.NoError(t, chromedp.Do(ctx))
	require.NoError(t, chromedp.Listen(ctx, p.note))
	return p
}

// note is called with what happens in the page.
func (p *browserPage) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			p.errors = append(p.errors, fmt.Sprint("console: ", string(e.Args[0].Value), e.Args[0].Description))
		}
	case *cdplog.EventEntryAdded:
		if e.Entry.Level == cdplog.EntryLevelError || e.Entry.Level == cdplog.EntryLevelWarning {
			p.errors = append(p.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	}
}

// open opens an address.
func (p *browserPage) open(t *testing.T, url string) {
	t.Helper()
	p.do(t, chromedp.Navigate(url))
}

func (p *browserPage) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(t, chromedp.Do(ctx, steps...))
}

// value returns what an expression is, or what its promise becomes.
func value[T any](t *testing.T, p *browserPage, expression string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(t, err, expression)
	return v
}

// waits waits until an expression is true, also on a page that follows.
func (p *browserPage) waits(t *testing.T, expression string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[*bool](expression))
		switch _, wrong := errors.AsType[*chromedp.ExceptionError](err); {
		case err == nil && ok != nil && *ok:
			return
		case wrong:
			require.NoError(t, err, expression)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.mu.Lock()
			defer p.mu.Unlock()
			text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`))
			require.FailNow(t, "it has not come: "+expression, "%v %v\n%s", err, p.errors, text)
		}
	}
}

// waitsFor waits until an element shows a text.
func (p *browserPage) waitsFor(t *testing.T, selector, text string) {
	t.Helper()
	p.waits(t, fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, selector, text))
}

// press presses keys, as they reach what has the focus.
func (p *browserPage) press(t *testing.T, keys string) {
	t.Helper()
	p.do(t, chromedp.KeyEvent(keys))
}

// scheme makes the system prefer a colour scheme.
func (p *browserPage) scheme(t *testing.T, scheme string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(t, err)
}

// clean requires that the page has asked the app alone, and that the console has no error but those that are allowed.
func (p *browserPage) clean(t *testing.T, url string, allowed ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NotEmpty(t, p.requests)
	for _, request := range p.requests {
		require.True(t, strings.HasPrefix(request, url), request)
	}
next:
	for _, text := range p.errors {
		for _, one := range allowed {
			if strings.Contains(text, one) {
				continue next
			}
		}
		require.Fail(t, "the console has an error", text)
	}
}
