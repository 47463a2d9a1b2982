package stores

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/tokenwell/tokenwell/internal/interop/server"
)

// redisProxy stands between a store and its server, and does what networks do.
type redisProxy struct {
	addr string

	// What is done to the server's messages.
	deaf   atomic.Bool // invalidations are lost
	jitter atomic.Bool // each connection lags behind, differently
	cut    atomic.Bool // the next one is lost, and its connection with it

	target string
	mu     sync.Mutex
	conns  int           // so far
	stall  chan struct{} // until it is closed, the first silent of them hear nothing
	silent int
}

func newRedisProxy(t testing.TB, r *server.Redis) *redisProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &redisProxy{addr: l.Addr().String(), target: r.Addr}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

func (p *redisProxy) client() rueidis.ClientOption {
	return rueidis.ClientOption{InitAddress: []string{p.addr}}
}

func (p *redisProxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	p.mu.Lock()
	p.conns++
	number := p.conns
	p.mu.Unlock()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	messages := bufio.NewReader(server)
	for {
		message, err := readRESP(nil, messages)
		if err != nil || p.cut.CompareAndSwap(true, false) {
			return
		}
		if p.deaf.Load() && bytes.HasPrefix(message, []byte(">2\r\n$10\r\ninvalidate\r\n")) {
			continue
		}
		if p.jitter.Load() && rand.N(8) == 0 {
			time.Sleep(rand.N(2 * time.Millisecond))
		}
		p.mu.Lock()
		stall, silent := p.stall, number <= p.silent
		p.mu.Unlock()
		if silent {
			<-stall
		}
		if _, err := client.Write(message); err != nil {
			return
		}
	}
}

// Stall holds back what the server says to those who are connected, and returns what ends that.
func (p *redisProxy) Stall() (end func()) {
	stall := make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall, p.silent = stall, p.conns
	return sync.OnceFunc(func() { close(stall) })
}

// readRESP appends one message of RESP3 to b.
func readRESP(b []byte, r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	b = append(b, line...)
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line[1:])))
	switch line[0] {
	case '$', '=', '!':
		if n < 0 {
			return b, nil
		}
		body := make([]byte, n+len("\r\n"))
		_, err := io.ReadFull(r, body)
		return append(b, body...), err
	case '%':
		n *= 2
	case '*', '~', '>':
	default:
		return b, nil
	}
	for range n {
		if b, err = readRESP(b, r); err != nil {
			return nil, err
		}
	}
	return b, nil
}
