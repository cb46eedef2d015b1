package browser

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

// pageTimeout bounds opening, reloading and closing a page.
const pageTimeout = 2 * time.Minute

// Page is one tab. It is closed when its test ends.
type Page struct {
	t       testing.TB
	browser *Browser
	id      int
	closed  bool
}

// Page opens a tab on url. Tabs of one browser share an origin's storage.
func (b *Browser) Page(t testing.TB, url string) *Page {
	t.Helper()
	p := &Page{t: t, browser: b}
	if err := b.driver.within(pageTimeout, order{Do: "open", URL: url}, &p.id); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	b.driver.hear(p.id, func(console, text string) { t.Logf("page %d: %s: %s", p.id, console, text) })
	t.Cleanup(func() {
		if t.Failed() && !p.closed {
			p.Screenshot(filepath.Join(t.ArtifactDir(), "page.png"))
		}
		b.driver.hear(p.id, nil)
		p.Close()
	})
	return p
}

// Eval runs js, the body of an async function with the parameter arg, in the
// page and waits for it. Eval decodes the value of the function into result, if not nil. It
// returns a JavaScript error as an error. If ctx ends first, the function continues in the
// page, and its value is lost.
func (p *Page) Eval(ctx context.Context, js string, arg, result any) error {
	return p.browser.driver.do(ctx, order{Do: "eval", Page: p.id, JS: js, Arg: arg}, result)
}

// Reload loads the page again, as the user's button does.
func (p *Page) Reload() {
	p.t.Helper()
	if err := p.browser.driver.within(pageTimeout, order{Do: "reload", Page: p.id}, nil); err != nil {
		p.t.Fatalf("reload: %v", err)
	}
}

// Leave goes to another page in the same tab.
func (p *Page) Leave(url string) {
	p.t.Helper()
	if err := p.browser.driver.within(pageTimeout, order{Do: "leave", Page: p.id, URL: url}, nil); err != nil {
		p.t.Fatalf("leave: %v", err)
	}
}

// Back goes back in the tab's history, to the page of this path.
func (p *Page) Back(path string) {
	p.t.Helper()
	if err := p.browser.driver.within(pageTimeout, order{Do: "back", Page: p.id, Path: path}, nil); err != nil {
		p.t.Fatalf("back: %v", err)
	}
}

// Hide puts another tab of the browser in front, and returns when the page knows that it is hidden. It needs a browser
// that Own has started.
func (p *Page) Hide() {
	p.t.Helper()
	if err := p.browser.driver.within(pageTimeout, order{Do: "hide", Page: p.id}, nil); err != nil {
		p.t.Fatalf("hide: %v", err)
	}
}

// Inspect calls a method of Chromium's DevTools protocol for the page, and decodes the value into result, if not nil. It
// needs a browser that Own has started.
func (p *Page) Inspect(method string, params, result any) {
	p.t.Helper()
	o := order{Do: "inspect", Page: p.id, Method: method, Arg: params}
	if err := p.browser.driver.within(pageTimeout, o, result); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
}

// Close closes the tab. Closing it again does nothing.
func (p *Page) Close() {
	p.t.Helper()
	if p.closed {
		return
	}
	p.closed = true
	if err := p.browser.driver.within(pageTimeout, order{Do: "close", Page: p.id}, nil); err != nil {
		p.t.Errorf("close page: %v", err)
	}
}

// Screenshot writes the content of the tab to a PNG file.
func (p *Page) Screenshot(path string) {
	p.t.Helper()
	if err := p.browser.driver.within(pageTimeout, order{Do: "screenshot", Page: p.id, Path: path}, nil); err != nil {
		p.t.Errorf("screenshot: %v", err)
	}
}
