package tests_test

import (
	"os"
	"path/filepath"
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
	p, _ := inspected(t, "")
	p.waitsFor(t, "#problems", "wippy consumers forget")
	p.waits(t, `performance.now() > 45000`)
	p.shoot(t, dir, "troubles")
	p.do(t, chromedp.EmulateViewport(1900, 1100))
	p.shoot(t, dir, "troubles-wide")
	p.do(t, chromedp.EmulateViewport(420, 900))
	p.shoot(t, dir, "troubles-narrow")
}
