package channel

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"
	"time"
)

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// names returns the texts of the values of a type, from the first on.
func names[T interface {
	~uint8
	String() string
}](n int) []string {
	var all []string
	for i := range n {
		all = append(all, T(i).String())
	}
	return all
}

// The engine in TypeScript has the same constants: web/test/constants.test.ts reads the
// same file.
func TestConstantsAreThoseOfTheBrowserClient(t *testing.T) {
	text, err := os.ReadFile("../internal/conform/constants.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Channel, Defaults               map[string]float64
		Modes, Directions, Fates, Drops []string
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][2]map[string]float64{
		"channel":  {constants, want.Channel},
		"defaults": {defaults(), want.Defaults},
	} {
		if !maps.Equal(got[0], got[1]) {
			t.Errorf("%s: the constants of Go are\n%v\nthose of constants.json\n%v", name, got[0], got[1])
		}
	}
	for name, got := range map[string][2][]string{
		"modes":      {names[Mode](len(modeNames)), want.Modes},
		"directions": {names[Direction](len(directionNames)), want.Directions},
		"fates":      {names[Fate](len(fateNames)), want.Fates},
		"drops":      {names[DropReason](int(dropReasons)), want.Drops},
	} {
		if !slices.Equal(got[0], got[1]) {
			t.Errorf("%s: the words of Go are %q, those of constants.json %q", name, got[0], got[1])
		}
	}
}

// constants are the constants that both engines have. Times are in milliseconds.
var constants = map[string]float64{
	"maxPacket": MaxPacket, "wireVersion": wireVersion, "versionShift": versionShift,
	"flagNumber": flagNumber, "flagAck": flagAck, "flagGaps": flagGaps,
	"maxRanges": maxRanges, "delayUnit": millis(delayUnit), "maxDelay": maxDelay,
	"frameControl": frameControl >> 6, "frameMessage": frameMessage >> 6,
	"frameFragment": frameFragment >> 6, "frameBare": frameBare >> 6,
	"controlPadding": controlPadding, "controlPing": controlPing, "controlClose": controlClose,
	"controlExtension": controlExtension, "controlGivenUp": controlGivenUp,
	"pieceSize": pieceSize, "maxFragmentHeader": maxFragmentHeader, "maxCloseText": maxCloseText,
	"maxMessage": maxMessage, "maxChannels": MaxChannels, "maxQueue": maxQueue, "maxName": maxName,
	"maxPriority": maxPriority, "maxWeight": maxWeight, "messageCost": messageCost,
	"sendWindow": sendWindow, "receivedWindow": receivedWindow, "maxFlight": maxFlight,
	"maxPartials": maxPartials, "partialAge": millis(partialAge), "staleAge": millis(staleAge),
	"lossSpan": lossSpan, "lossMemory": lossMemory, "lossyShare": lossyShare,
	"maxCopyable": maxCopyable, "maxLookback": maxLookback, "spareShare": spareShare,
	"maxAckDelay": millis(maxAckDelay), "minVariance": millis(minVariance), "maxPTO": millis(maxPTO),
	"packetThreshold": packetThreshold, "maxPacketThreshold": maxPacketThreshold,
	"maxProbes": maxProbes, "darkAfter": darkAfter,
	"leastBudget": leastBudget, "retryWide": millis(retryWide),
	"closeRepeats": closeRepeats, "closeInterval": millis(closeInterval),
	"bandwidthRounds": bandwidthRounds, "minRound": millis(minRound), "minRTTAge": millis(minRTTAge),
	"shortWait": millis(shortWait), "longWait": millis(longWait), "maxPacketTime": millis(maxPacketTime),
	"maxChance": millis(maxChance), "calmRounds": calmRounds,
	"leastWindow": leastWindow, "queueTime": millis(queueTime), "ackEvery": ackEvery, "closePatience": millis(closePatience),
}

// defaults returns the values that both engines take for zero.
func defaults() map[string]float64 {
	c := Config{}.withDefaults()
	unreliable, reliable := Channel{}.withDefaults(), Channel{Mode: ReliableOrdered}.withDefaults()
	return map[string]float64{
		"rtt": millis(c.RTT), "rate": float64(c.Rate), "floor": float64(c.Floor), "ceiling": float64(c.Ceiling),
		"maxMessage": float64(unreliable.MaxMessage), "maxMessageReliable": float64(reliable.MaxMessage),
		"maxMessageControl": float64(controlChannel.MaxMessage),
		"queueLimit":        float64(unreliable.QueueLimit), "queueLimitReliable": float64(reliable.QueueLimit),
		"queueLimitControl": float64(controlChannel.QueueLimit),
		"weight":            float64(unreliable.Weight),
	}
}
