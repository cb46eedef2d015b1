package drive

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// peer is a process with the generated module, web/test/messagepeer.ts.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startPeer(script, module string) (*peer, error) {
	p := &peer{cmd: exec.Command("node", script, module)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReaderSize(out, 1<<20)
	return p, p.cmd.Start()
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait()
}

// Kinds of cases.
const (
	caseValue = 0 // a value to be written
	caseBytes = 1 // bytes to be read, and the value to be written again
)

// appendCase appends a case to a batch.
func appendCase(batch []byte, kind byte, message int, data []byte) []byte {
	batch = binary.LittleEndian.AppendUint32(batch, uint32(len(data)+3))
	batch = append(batch, kind)
	batch = binary.LittleEndian.AppendUint16(batch, uint16(message))
	return append(batch, data...)
}

// ask sends a batch and returns the answers.
func (p *peer) ask(batch []byte) ([][]byte, error) {
	wrote := make(chan error, 1)
	go func() {
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(batch)))
		_, err := p.in.Write(append(head, batch...))
		wrote <- err
	}()
	all, err := p.sized()
	if err != nil {
		return nil, fmt.Errorf("the end in TypeScript: %w", err)
	}
	if err := <-wrote; err != nil {
		return nil, err
	}
	var answers [][]byte
	for len(all) > 0 {
		n := 4 + binary.LittleEndian.Uint32(all)
		answers = append(answers, all[4:n])
		all = all[n:]
	}
	return answers, nil
}

func (p *peer) sized() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(p.out, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.LittleEndian.Uint32(head[:]))
	_, err := io.ReadFull(p.out, b)
	return b, err
}
