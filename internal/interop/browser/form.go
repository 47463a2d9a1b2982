package browser

import (
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Form is a form of a page, filled with what the page put into it.
type Form struct {
	page   *Page
	method string
	action *url.URL
	values url.Values
	fields map[string]bool
}

// Form finds the form that has a field of each of these names. The test fails when there is none.
func (p *Page) Form(fields ...string) *Form {
	p.browser.t.Helper()
	doc, err := html.Parse(strings.NewReader(p.Body))
	if err != nil {
		p.browser.t.Fatalf("%s: %v", p.URL, err)
	}
	for n := range doc.Descendants() {
		if n.DataAtom != atom.Form {
			continue
		}
		f := p.read(doc, n)
		if f.has(fields) {
			return f
		}
	}
	p.browser.t.Fatalf("no form with fields %q on the page: %s", fields, p)
	return nil
}

// read takes a form's fields: those inside it, and those elsewhere that name it as theirs. Buttons count as fields that
// are not sent unless filled.
func (p *Page) read(doc, form *html.Node) *Form {
	f := &Form{
		page:   p,
		method: strings.ToUpper(attribute(form, "method")),
		values: url.Values{},
		fields: map[string]bool{},
	}
	var err error
	if f.action, err = p.URL.Parse(attribute(form, "action")); err != nil {
		p.browser.t.Fatalf("%s: action of a form: %v", p.URL, err)
	}
	for n := range form.Descendants() {
		f.add(n)
	}
	if id := attribute(form, "id"); id != "" {
		for n := range doc.Descendants() {
			if attribute(n, "form") == id {
				f.add(n)
			}
		}
	}
	return f
}

func (f *Form) add(n *html.Node) {
	name := attribute(n, "name")
	if n.Type != html.ElementNode || name == "" {
		return
	}
	switch n.DataAtom {
	case atom.Input:
		switch attribute(n, "type") {
		case "submit", "button", "image", "reset", "file":
			f.fields[name] = true
			return
		case "checkbox", "radio":
			f.fields[name] = true
			if !hasAttribute(n, "checked") {
				return
			}
		}
		f.fields[name] = true
		f.values.Add(name, attribute(n, "value"))
	case atom.Button, atom.Select, atom.Textarea:
		f.fields[name] = true
	}
}

func (f *Form) has(fields []string) bool {
	for _, name := range fields {
		if !f.fields[name] {
			return false
		}
	}
	return true
}

// Fill sets a field, or presses the button of that name.
func (f *Form) Fill(name, value string) *Form {
	f.page.browser.t.Helper()
	if !f.fields[name] {
		f.page.browser.t.Fatalf("the form has no field %q: %s", name, f.page)
	}
	f.values.Set(name, value)
	return f
}

// Submit sends the form and follows where it leads.
func (f *Form) Submit() *Page {
	b := f.page.browser
	b.t.Helper()
	if f.method != http.MethodPost {
		target := *f.action
		target.RawQuery = f.values.Encode()
		return b.navigate(b.request(http.MethodGet, target.String(), nil, siteOf(f.page.URL, &target)))
	}
	req := b.request(http.MethodPost, f.action.String(), f.values, siteOf(f.page.URL, f.action))
	req.Header.Set("Origin", f.page.URL.Scheme+"://"+f.page.URL.Host)
	return b.navigate(req)
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Namespace == "" && a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttribute(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Namespace == "" && a.Key == name {
			return true
		}
	}
	return false
}
