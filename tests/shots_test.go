package tests_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// shotsVariable names a directory for pictures of the inspector, to be looked at.
const shotsVariable = "WIPPY_SHOTS"

func (p *browserPage) shoot(t *testing.T, dir, name string) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		p.scheme(t, scheme)
		content, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), content, 0o600))
	}
}

func TestShots(t *testing.T) {
	dir := os.Getenv(shotsVariable)
	if dir == "" {
		t.Skip("makes pictures of the inspector if " + shotsVariable + " names a directory")
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	for name, app := range map[string]string{
		"rest": smallApp(`assert(db:execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY)"))`, `time.sleep("1s")`),
		"load": flood,
	} {
		t.Run(name, func(t *testing.T) {
			p := newPage(t)
			r, url := serve(t, unpack(t, app), "0")
			p.open(t, url)
			p.waits(t, `performance.now() > 20000`)
			p.shoot(t, dir, name)
			if name == "load" {
				r.signal(t, syscall.SIGKILL)
				p.waitsFor(t, "#connection", "the app is away since")
				p.shoot(t, dir, "away")
			}
		})
	}
	t.Run("troubles", func(t *testing.T) {
		p, _ := inspected(t, "#source=shop:orders")
		p.waitsFor(t, "#problems", "wippy consumers forget")
		p.waits(t, `performance.now() > 30000`)
		p.shoot(t, dir, "troubles")
		p.do(t, chromedp.EmulateViewport(420, 900))
		p.shoot(t, dir, "narrow")
		p.do(t, chromedp.EmulateViewport(1900, 1100), chromedp.Click(chromedp.CSS("#tail-rows tr")))
		p.waits(t, `!document.querySelector("#detail").hidden`)
		p.shoot(t, dir, "wide")
	})
}
