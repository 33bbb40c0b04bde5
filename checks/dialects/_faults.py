"""What a vendor's SDK does with each fault that vendors have: plays it, and writes the table of docs/dialects/faults.md.
usage: _faults.py ORIGIN, where the server has an ordinary clock. Fails if the table isn't the one that was looked at; ABIDE_BLESS=1
writes it anew."""
import importlib.metadata, json, os, pathlib, sys, threading, time, urllib.request, warnings
sys.path.append(sys.path.pop(0))
warnings.simplefilter('ignore')
ORIGIN = sys.argv[1].rstrip('/')
PAGE = pathlib.Path(__file__).resolve().parents[2] / 'docs/dialects/faults.md'
base = lambda name: f'{ORIGIN}/dialects/{name}'

def jobs():
    with urllib.request.urlopen(f'{ORIGIN}/v1/jobs?limit=1000') as answer: return len(json.load(answer)['jobs'])

def tried(action):
    """What came of it: a value's text, or the error's name."""
    try: return action()
    except Exception as error: return f'raises `{type(error).__name__}`'

def fal():
    os.environ['FAL_KEY'] = 'id:secret'
    import fal_client, fal_client.client
    fal_client.client.QUEUE_URL_FORMAT = base('fal') + '/'
    return fal_client.SyncClient()

def replicate():
    import replicate
    return replicate.Client(api_token='r8_test', base_url=base('replicate'))

def prediction(directive):
    return replicate().predictions.create('owner/name:0123abcd', input={'prompt': f'abide:{directive}'})

def waited(prediction):
    prediction.wait()
    return f'ends as `{prediction.status}`'

def lost_create():
    before = jobs()
    # Each job's first answer is lost: every create that is sent again makes another job, and meets the fault again.
    came = tried(lambda: fal().submit('fal-ai/veo3', {'prompt': 'abide:duration=1s,fault=lost_create,first=1'}) and 'returns a request')
    return f'{came}; {jobs() - before} jobs were made'

def not_found_first():
    import openai
    client = openai.OpenAI(api_key='sk-test', base_url=base('openai') + '/v1')
    made = client.responses.create(model='gpt', input='abide:duration=1s,fault=not_found_first,first=1', background=True)
    return f'the first read {tried(lambda: client.responses.retrieve(made.id).status)}'

def canceled_elsewhere():
    import runwayml
    client = runwayml.RunwayML(api_key='key_test', base_url=base('runway'))
    task = client.image_to_video.create(model='gen4_turbo', prompt_image='https://example.com/i.png', ratio='1280:720',
        prompt_text='abide:duration=8s,fault=canceled_elsewhere')
    try: return task.wait_for_task_output(timeout=16).status
    except Exception as error: return f'raises `{type(error).__name__}` whose task has the status `{error.task_details.status}`'

def expired_url():
    made = prediction('duration=0s,fault=expired_url')
    made.wait()
    try: urllib.request.urlopen(made.output); return 'the file is read'
    except urllib.error.HTTPError as error: return f'ends as `{made.status}`; its file is answered `{error.code}`'

def queue_stuck():
    run = lambda: fal().subscribe('fal-ai/veo3', {'prompt': 'abide:duration=1s,fault=queue_stuck'}, client_timeout=3)
    return f'with `client_timeout=3` {tried(run)}'

def slow_cancel():
    made = prediction('duration=1h,fault=slow_cancel')
    made.cancel()
    now = made.status
    time.sleep(3)
    made.reload()
    return f'`cancel()` leaves it `{now}`; read 3 s later it is `{made.status}`'

def unknown_status():
    return f'`wait()` {tried(lambda: waited(prediction("duration=2s,fault=unknown_status,word=paused,first=1")))}'

def unavailable():
    import assemblyai
    assemblyai.settings.api_key, assemblyai.settings.base_url, assemblyai.settings.polling_interval = 'test', base('assemblyai'), .3
    run = lambda: assemblyai.Transcriber().transcribe('https://example.com/a.mp3?abide:duration=1s,fault=error,nth=2').status
    return f'`transcribe()` {tried(run)}'

CASES = [
    ('`lost_create`: the job is made, and its answer lost', 'fal-client', lost_create),
    ('`not_found_first`: the first read is a `404`', 'openai', not_found_first),
    ('`canceled_elsewhere`', 'runwayml', canceled_elsewhere),
    ('`expired_url`', 'replicate', expired_url),
    ('`queue_stuck`', 'fal-client', queue_stuck),
    ('`slow_cancel`', 'replicate', slow_cancel),
    ('`unknown_status`: one read says `paused`', 'replicate', unknown_status),
    ('`error`: the second read is a `503`', 'assemblyai', unavailable),
]
results = [None] * len(CASES)
def play(n): results[n] = tried(CASES[n][2])
# The one that counts jobs goes first and alone.
play(0)
threads = [threading.Thread(target=play, args=(n,), daemon=True) for n in range(1, len(CASES))]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
rows = [f'| {fault} | `{sdk}` {importlib.metadata.version(sdk)} | {result} |' for (fault, sdk, _), result in zip(CASES, results)]
table = '\n'.join(['| Fault | SDK | What it does |', '|---|---|---|', *rows]) + '\n'
print(table)
head, _, kept = PAGE.read_text().partition('| Fault |')
if os.environ.get('ABIDE_BLESS'): PAGE.write_text(head + table)
elif '| Fault |' + kept != table: sys.exit(f'{PAGE} has another table; ABIDE_BLESS=1 writes it')
