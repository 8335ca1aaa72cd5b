package listener

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/brainseg/brainseg/internal/device/config"
	"github.com/brainseg/brainseg/internal/device/parts"
)

const token = "correct-horse-battery-staple"

// listen serves a handler that says yes.
func listen(t *testing.T, s Settings) (*Listener, error) {
	t.Helper()
	l := New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "yes")
	}), zap.NewNop())
	err := l.Listen(t.Context(), s)
	t.Cleanup(func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l, err
}

// ask sends a request and returns the answer, whose body is read.
func ask(t *testing.T, client *http.Client, method, url string, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(r)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(content)
}

func newClient(t *testing.T, config *tls.Config) *http.Client {
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestBeyondLoopbackNobodyGetsInUnguarded(t *testing.T) {
	c := start(t)
	before := c.Addr()
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		next := c.engine.Config()
		next.HTTP.Address = address
		var part *parts.Error
		if err := c.engine.Apply(t.Context(), next); !errors.As(err, &part) || part.Part != PartHTTP || !strings.Contains(err.Error(), "http.tokenFile") {
			t.Errorf("%s: %v", address, err)
		}
		if c.Addr() != before {
			t.Errorf("%s: listening on %s", address, c.Addr())
		}
		if _, err := listen(t, Settings{HTTP: config.HTTP{Address: address, Token: token}}); err != nil {
			t.Errorf("%s with a token: %v", address, err)
		}
		if _, err := listen(t, Settings{HTTP: config.HTTP{Address: address}, Trusted: true}); err != nil {
			t.Errorf("%s in a network with its own guard: %v", address, err)
		}
	}
}

func TestTheGuardOfAnAddressInUseCannotBeTakenAway(t *testing.T) {
	l, err := listen(t, Settings{HTTP: config.HTTP{Address: "0.0.0.0:0", Token: token}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Listen(t.Context(), Settings{HTTP: config.HTTP{Address: l.Addr()}}); err == nil {
		t.Error("the token is gone")
	}
}

func TestWithoutTheTokenNobodyIsLetIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, settings := range []config.HTTP{{Token: token}, {TokenFile: file}} {
		settings.Address = "127.0.0.1:0"
		l, err := listen(t, Settings{HTTP: settings})
		if err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			change func(*http.Request)
			status int
		}{
			"nothing":               {nil, 401},
			"a bearer":              {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, 200},
			"a bearer, lower case":  {func(r *http.Request) { r.Header.Set("Authorization", "bearer "+token) }, 200},
			"a password":            {func(r *http.Request) { r.SetBasicAuth("anybody", token) }, 200},
			"a user":                {func(r *http.Request) { r.SetBasicAuth(token, "") }, 401},
			"another":               {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token[1:]+"x") }, 401},
			"a longer one":          {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token+"x") }, 401},
			"an empty one":          {func(r *http.Request) { r.Header.Set("Authorization", "Bearer ") }, 401},
			"in the URL":            {func(r *http.Request) { r.URL.RawQuery = "token=" + token + "&access_token=" + token }, 401},
			"another authorisation": {func(r *http.Request) { r.Header.Set("Authorization", "Digest "+token) }, 401},
		} {
			answer, content := ask(t, newClient(t, nil), http.MethodGet, "http://"+l.Addr()+"/", tt.change)
			if answer.StatusCode != tt.status || strings.Contains(content, token) {
				t.Errorf("%s: %d %s", name, answer.StatusCode, content)
			}
			if challenges := strings.Join(answer.Header.Values("WWW-Authenticate"), " "); tt.status == 401 && (!strings.Contains(challenges, "Basic") || !strings.Contains(challenges, "Bearer") || !strings.Contains(content, "unauthorised")) {
				t.Errorf("%s: asked by %q, %s", name, challenges, content)
			}
		}
	}
}

func TestATokenThatGuardsNothingIsRefused(t *testing.T) {
	folder := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for want, settings := range map[string]config.HTTP{
		"chmod 600":                {TokenFile: write("open", token, 0o644)},
		"16 to 256":                {TokenFile: write("short", "secret", 0o600)},
		"it must be 16 to 256":     {TokenFile: write("empty", "\n", 0o600)},
		"no such file":             {TokenFile: filepath.Join(folder, "none")},
		"read the token: it must":  {Token: "two words"},
		"as certificate and key":   {Certificate: write("c", "x", 0o600), Key: write("k", "x", 0o600)},
		"read a certificate or ke": {Certificate: filepath.Join(folder, "none"), Key: filepath.Join(folder, "none")},
	} {
		settings.Address = "127.0.0.1:0"
		if _, err := listen(t, Settings{HTTP: settings}); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestAnotherHostsNameIsRefused(t *testing.T) {
	own, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const yes, no = http.StatusOK, http.StatusForbidden
	for _, tt := range []struct {
		address string
		known   map[string]int
	}{
		{"127.0.0.1:0", map[string]int{
			"evil.example": no, "evil.example:5000": no, "192.168.1.5": no, "localhost.evil.example": no, "127.0.0.1.evil.example": no, "[fe80::1]": no, own: no,
			"localhost": yes, "LOCALHOST:5000": yes, "localhost.": yes, "127.0.0.1": yes, "[::1]:5000": yes, "scanner.ward3": yes,
		}},
		{"0.0.0.0:0", map[string]int{
			"evil.example": no, "127.0.0.1.evil.example": no, own + ".evil.example": no,
			"localhost": yes, "192.168.1.5:80": yes, "[fe80::1]": yes, own: yes, strings.ToUpper(own) + ":5000": yes, "Scanner.Ward3:1": yes,
		}},
	} {
		l, err := listen(t, Settings{HTTP: config.HTTP{Address: tt.address, Token: token, Hosts: []string{"scanner.ward3"}}})
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr())
		for host, want := range tt.known {
			answer, _ := ask(t, newClient(t, nil), http.MethodGet, "http://127.0.0.1:"+port+"/", func(r *http.Request) {
				r.Host = host
				r.Header.Set("Authorization", "Bearer "+token)
			})
			if answer.StatusCode != want {
				t.Errorf("%s, Host %s: got %d, want %d", tt.address, host, answer.StatusCode, want)
			}
		}
	}
}

func FuzzNoHostButOursIsKnown(f *testing.F) {
	for _, host := range []string{"localhost:5000", "127.0.0.1", "[::1]:1", "evil.example", "localhost.evil.example:1", "127.0.0.1.evil.example", "[::1%lo]", "[", ":", "::1"} {
		f.Add(host)
	}
	r := &rules{loopback: true}
	f.Fuzz(func(t *testing.T, host string) {
		if !r.knows(host) {
			return
		}
		name := host
		if n, _, err := net.SplitHostPort(host); err == nil {
			name = n
		}
		name = strings.Trim(name, "[].")
		ip, _, _ := strings.Cut(name, "%")
		if address := net.ParseIP(ip); name != "" && !strings.EqualFold(name, "localhost") && (address == nil || !address.IsLoopback()) {
			t.Errorf("%q is known", host)
		}
	})
}

func TestAPageOfAnotherOriginIsRefusedAndNoneIsInvited(t *testing.T) {
	l, err := listen(t, Settings{HTTP: config.HTTP{Address: "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	for method, want := range map[string]int{http.MethodPost: 403, http.MethodDelete: 403, http.MethodOptions: 200} {
		answer, _ := ask(t, newClient(t, nil), method, "http://"+l.Addr()+"/", func(r *http.Request) {
			r.Header.Set("Origin", "https://elsewhere.example")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
			r.Header.Set("Access-Control-Request-Method", "POST")
		})
		if answer.StatusCode != want {
			t.Errorf("%s: got %d, want %d", method, answer.StatusCode, want)
		}
		for name := range answer.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: the answer has %s", method, name)
			}
		}
	}
}

// authority signs certificates.
type authority struct {
	t      *testing.T
	folder string
	own    *x509.Certificate
	key    *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, folder: t.TempDir()}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.own, a.key = template, a.newKey()
	a.own = a.sign("authority", template, a.key)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

// sign writes certificate and key to NAME.pem and NAME.key.
func (a *authority) sign(name string, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	template.Subject, template.NotBefore, template.NotAfter = pkix.Name{CommonName: name}, time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	made, err := x509.CreateCertificate(rand.Reader, template, a.own, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		err = errors.Join(
			os.WriteFile(a.path(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}), 0o600),
			os.WriteFile(a.path(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	}
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(made)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate
}

func (a *authority) path(name string) string { return filepath.Join(a.folder, name) }

// pair returns a client's certificate, signed by the authority.
func (a *authority) pair(name string, usage x509.ExtKeyUsage) tls.Certificate {
	a.sign(name, &x509.Certificate{SerialNumber: big.NewInt(2), ExtKeyUsage: []x509.ExtKeyUsage{usage}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"scanner.example"}}, a.newKey())
	pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
	if err != nil {
		a.t.Fatal(err)
	}
	return pair
}

func TestOverTLSOnlyClientsWithACertificateOfTheAuthorityGetIn(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	ours.pair("host", x509.ExtKeyUsageServerAuth)
	settings := config.HTTP{Address: "0.0.0.0:0", Certificate: ours.path("host.pem"), Key: ours.path("host.key"), Authorities: ours.path("authority.pem")}
	l, err := listen(t, Settings{HTTP: settings})
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr())
	url := "https://127.0.0.1:" + port + "/"
	roots := x509.NewCertPool()
	roots.AddCert(ours.own)
	good := newClient(t, &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{ours.pair("client", x509.ExtKeyUsageClientAuth)}})
	answer, content := ask(t, good, http.MethodGet, url, nil)
	if answer.StatusCode != http.StatusOK || content != "yes" || answer.ProtoMajor != 1 {
		t.Errorf("a good client: %s, %s %q", answer.Proto, answer.Status, content)
	}
	for host, want := range map[string]int{"scanner.example": 200, "evil.example": 403} {
		if answer, _ := ask(t, good, http.MethodGet, url, func(r *http.Request) { r.Host = host }); answer.StatusCode != want {
			t.Errorf("Host %s: %d", host, answer.StatusCode)
		}
	}
	for name, pairs := range map[string][]tls.Certificate{"none": nil, "another authority's": {theirs.pair("client", x509.ExtKeyUsageClientAuth)}, "a host's": {ours.pair("host", x509.ExtKeyUsageServerAuth)}} {
		r, err := newClient(t, &tls.Config{RootCAs: roots, Certificates: pairs}).Get(url)
		if err == nil {
			r.Body.Close()
			t.Errorf("certificate: %s: got %s", name, r.Status)
		}
	}
	if r, err := newClient(t, nil).Get("http://127.0.0.1:" + port + "/"); err == nil {
		r.Body.Close()
		if r.StatusCode == http.StatusOK {
			t.Error("got in without TLS")
		}
	}

	// Other authorities: whoever is connected has to show a certificate again.
	settings.Address, settings.Authorities = l.Addr(), theirs.path("authority.pem")
	if err := l.Listen(t.Context(), Settings{HTTP: settings}); err != nil {
		t.Fatal(err)
	}
	if answer, content := ask(t, good, http.MethodGet, url, nil); answer.StatusCode != http.StatusServiceUnavailable || !answer.Close {
		t.Errorf("on the connection before: %s %s", answer.Status, content)
	}
	if r, err := good.Get(url); err == nil {
		r.Body.Close()
		t.Errorf("then: %s", r.Status)
	}
}
