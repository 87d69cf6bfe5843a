// A page on which the customer of a bakery speaks with an agent, over WebRTC.
import { useEffect, useRef, useState } from 'react';
import {
  OpenAIRealtimeWebRTC,
  RealtimeAgent,
  RealtimeSession,
  backgroundResult,
  tool,
  type RealtimeItem,
  type RealtimeOutputGuardrail,
} from '@openai/agents/realtime';
import { z } from 'zod';

const reserve = tool({
  name: 'reserve',
  description: 'Reserve a loaf.',
  parameters: z.object({ bread: z.string() }),
  needsApproval: true,
  execute: async ({ bread }) => backgroundResult(`one ${bread} is reserved`),
});

const noPrices: RealtimeOutputGuardrail = {
  name: 'no prices',
  execute: async ({ agentOutput }) => ({
    tripwireTriggered: /\d euros/.test(agentOutput),
    outputInfo: {},
  }),
};

const poet = new RealtimeAgent({ name: 'Poet', handoffDescription: 'Praises bread.', voice: 'sage' });
const shop = new RealtimeAgent({ name: 'Shop', tools: [reserve], handoffs: [poet] });

export function Call() {
  const session = useRef<RealtimeSession | null>(null);
  const [history, setHistory] = useState<RealtimeItem[]>([]);

  useEffect(() => {
    session.current = new RealtimeSession(shop, {
      transport: new OpenAIRealtimeWebRTC(),
      outputGuardrails: [noPrices],
      outputGuardrailSettings: { debounceTextLength: 200 },
      config: {
        audio: { input: { turnDetection: { type: 'semantic_vad' } } },
      },
    });
    session.current.on('history_updated', setHistory);
    session.current.on('tool_approval_requested', (_context, _agent, request) => {
      session.current?.approve(request.approvalItem, { alwaysApprove: true });
    });
    session.current.on('guardrail_tripped', () => console.log('a price was said'));
    session.current.transport.on('*', console.debug);
    return () => session.current?.close();
  }, []);

  const call = async () => {
    const { key } = await (await fetch('/key')).json();
    await session.current?.connect({ apiKey: key });
    session.current?.sendMessage('Hello!');
  };

  return (
    <>
      <button onClick={call}>Call</button>
      <button onClick={() => session.current?.mute(true)}>Mute</button>
      <button onClick={() => session.current?.interrupt()}>Stop</button>
      <ol>{history.map((item) => <li key={item.itemId}>{item.type}</li>)}</ol>
    </>
  );
}
