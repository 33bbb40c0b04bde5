"""How vendors' SDKs wait, and how this project's client does for the same vendors, in the account of the server's client report.
usage: _waits.py ABIDE, the program. It writes the table of docs/dialects/waits.md to standard output; the numbers differ a little
from run to run. JOBS jobs at once, of half of SECONDS to one and a half of it, are waited for in each way. Our clients have
waited for as many jobs before. Needs the packages: `pip install ./bindings/python`, and sdks/typescript built there."""
import concurrent.futures, importlib.metadata, json, logging, os, pathlib, re, subprocess, sys, tempfile, time, urllib.request, warnings
sys.path.append(sys.path.pop(0))
warnings.simplefilter('ignore')
logging.disable(logging.CRITICAL)
ABIDE, JOBS, SECONDS = sys.argv[1], int(os.environ.get('JOBS', 8)), float(os.environ.get('SECONDS', 8))
PRESETS = {it['name']: it for it in json.load(open(pathlib.Path(__file__).resolve().parents[2] / 'crates/client/src/remote/presets.json'))}
LENGTHS = [f'abide:duration={SECONDS * (.5 + (n + .5) / JOBS):.2f}s' for n in range(JOBS)]

# Each has the SDK's own waiter for a job, how the SDK makes one, and its one look at what it made.
def replicate(url, key):
    import replicate
    client = replicate.Client(api_token=key, base_url=url)
    create = lambda said: client.predictions.create('owner/name:0123abcd', input={'prompt': said})
    return lambda said: create(said).wait(), create, lambda made: client.predictions.get(made.id)
def runwayml(url, key):
    import runwayml
    client = runwayml.RunwayML(api_key=key, base_url=url)
    create = lambda said: client.image_to_video.create(model='gen4_turbo', prompt_image='https://example.com/i.png', ratio='1280:720', prompt_text=said)
    return lambda said: create(said).wait_for_task_output(), create, lambda made: client.tasks.retrieve(made.id)
def fal(url, key):
    os.environ['FAL_KEY'] = key
    import fal_client, fal_client.client
    fal_client.client.QUEUE_URL_FORMAT = url + '/'
    client = fal_client.SyncClient()
    create = lambda said: client.submit('fal-ai/veo3', {'prompt': said})
    return lambda said: client.subscribe('fal-ai/veo3', {'prompt': said}), create, lambda made: made.status()
def assemblyai(url, key):
    import assemblyai
    assemblyai.settings.api_key, assemblyai.settings.base_url = key, url
    # It keeps the key that it was made with.
    assemblyai.Client._default = None
    audio, http = 'https://example.com/a.mp3?', assemblyai.Client.get_default().http_client
    create = lambda said: assemblyai.Transcriber().submit(audio + said)
    return lambda said: assemblyai.Transcriber().transcribe(audio + said), create, lambda made: assemblyai.api.get_transcript(http, made.id)
def openai(url, key):
    import openai
    client = openai.OpenAI(api_key=key, base_url=url + '/v1')
    create = lambda said: client.videos.create(prompt=said)
    return lambda said: client.videos.create_and_poll(prompt=said), create, lambda made: client.videos.retrieve(made.id)
def dashscope(url, key):
    os.environ['DASHSCOPE_HTTP_BASE_URL'] = url
    import dashscope
    dashscope.api_key = key
    said_to = lambda call: lambda said: call(model='wan2.2-t2v-plus', prompt=said)
    videos = dashscope.VideoSynthesis
    return said_to(videos.call), said_to(videos.async_call), lambda made: {'status': videos.fetch(made).output.task_status}
def elevenlabs(url, key):
    from elevenlabs import ElevenLabs
    from elevenlabs import VideoGenerationRequest_BytedanceSeedanceV2 as Video, WebhookHmacSettings, WebhookTarget_Ids
    client = ElevenLabs(base_url=url, api_key=key)
    said_to = lambda call: lambda said: call(request=Video(prompt=said))
    videos = client.flows.video
    return said_to(videos.create_and_wait), said_to(videos.create), lambda made: videos.get(made.id)
def azure(url, key):
    from azure.ai.translation.document import DocumentTranslationClient
    from azure.core.credentials import AzureKeyCredential
    client = DocumentTranslationClient(url, AzureKeyCredential(key))
    source, target = 'https://x.blob.core.windows.net/src?', 'https://x.blob.core.windows.net/dst'
    # It makes no job without asking for it, beside whatever else asks.
    return lambda said: client.begin_translation(source + said, target, 'es').result(), None, client.get_translation_status
def google(url, key):
    from google.oauth2.credentials import Credentials
    from google.cloud import videointelligence_v1 as vi
    from google.cloud.videointelligence_v1.services.video_intelligence_service.transports.rest import VideoIntelligenceServiceRestTransport as Rest
    client = vi.VideoIntelligenceServiceClient(transport=Rest(host=url, credentials=Credentials(key)))
    create = lambda said: client.annotate_video(request={'input_uri': 'gs://bucket/?' + said, 'features': [vi.Feature.LABEL_DETECTION]})
    look = lambda made: client.transport.operations_client.get_operation(made.operation.name)
    return lambda said: create(said).result(timeout=60), create, look

# The package, its waiter, how it is made, the description of the vendor, where the server speaks it, its kind, and a request.
VENDORS = [
    ('assemblyai', '`transcribe()`', assemblyai, 'assemblyai', 'assemblyai', '', {'audio_url': 'https://example.com/?SAID'}),
    ('azure-ai-translation-document', '`result()`', azure, 'azure_document_translation', 'azure', '', {'inputs': [{'source': {'sourceUrl': 'https://x.example/?SAID'}}]}),
    ('dashscope', '`VideoSynthesis.call()`', dashscope, 'dashscope', 'dashscope/api/v1', '', {'model': 'm', 'input': {'prompt': 'SAID'}}),
    ('elevenlabs', '`create_and_wait()`', elevenlabs, 'elevenlabs', 'elevenlabs', '', {'prompt': 'SAID'}),
    ('fal-client', '`subscribe()`', fal, 'fal', 'fal', 'fal-ai/veo3', {'prompt': 'SAID'}),
    ('google-api-core', '`result()`', google, 'google_veo', 'google', 'veo-3', {'instances': [{'prompt': 'SAID'}]}),
    ('openai', '`videos.create_and_poll()`', openai, 'openai_video', 'openai', '', {'prompt': 'SAID'}),
    ('replicate', '`wait()`', replicate, 'replicate', 'replicate', '', {'version': 'v', 'input': {'prompt': 'SAID'}}),
    ('runwayml', '`wait_for_task_output()`', runwayml, 'runway', 'runway', 'image_to_video', {'promptText': 'SAID'}),
]
key_of = lambda preset, way: f'{preset}-{way}-of-this-table'.replace('_', '-')
keys = [key_of(vendor[3], way) for vendor in VENDORS for way in ('own', 'first', 'ours', 'py-first', 'py', 'ts-first', 'ts')]
log = tempfile.NamedTemporaryFile('w+', suffix='.log')
flags = [word for key in keys for word in ('--api-key', f'{key}:user:{key}')]
server = subprocess.Popen([ABIDE, 'serve', '--ephemeral', '--seed', '7', '--listen', '127.0.0.1:0', '--dialects', 'all', *flags], stdout=log, stderr=log)
while not (found := re.search(r'http://127\.0\.0\.1:\d+', open(log.name).read())): time.sleep(.1)
ORIGIN = found[0]

def report(key):
    """Requests a job, seconds late, and the grade of the client of that key that waited."""
    request = urllib.request.Request(ORIGIN + '/v1/report', headers={'authorization': f'Bearer {key}'})
    clients = json.load(urllib.request.urlopen(request))['clients']
    it = max(clients, key=lambda it: it['ended'])
    cost = f"{it['cost_s'] / it['bound_s']:.1f}" if it['bound_s'] else '–'
    return f"{it['requests_per_job']:.1f} | {it['detection_ms']['mean'] / 1000:.1f} | {cost} | {it['grade']}"

def own(vendor):
    name, waiter, make, preset, mount, kind, body = vendor
    key = key_of(preset, 'own')
    wait, _, _ = make(f'{ORIGIN}/dialects/{mount}', key)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool: list(pool.map(wait, LENGTHS))
    return f'| `{name}` {importlib.metadata.version(name)} | {waiter} | {report(key)} |'

def headers_of(preset, key):
    remote = PRESETS[preset]
    return {**remote.get('headers', {}), remote.get('key_header', 'authorization'): remote.get('key_prefix', 'Bearer ') + key}

def created(vendor, key):
    """The ids of new jobs, which are made as the description says."""
    _, _, _, preset, mount, kind, body = vendor
    remote = PRESETS[preset]
    to = f'{ORIGIN}/dialects/{mount}' + remote['create'].replace('{+kind}', kind).replace('{kind}', kind)
    def create(said):
        text = json.dumps(body).replace('SAID', said).encode()
        answer = urllib.request.urlopen(urllib.request.Request(to, text, {**headers_of(preset, key), 'content-type': 'application/json'}))
        if 'id_header' in remote: return answer.headers[remote['id_header']].split('?')[0].rsplit('/', 1)[1]
        made = json.load(answer)
        for part in remote['id'].split('/')[1:]: made = made[int(part) if part.isdigit() else part]
        return made
    return [create(said) for said in LENGTHS]

def in_python(vendor):
    import abide_client
    name, _, make, preset, mount, kind, body = vendor
    history = abide_client.History()
    for way in ('py-first', 'py'):
        key = key_of(preset, way)
        _, create, look = make(f'{ORIGIN}/dialects/{mount}', key)
        def wait(made): abide_client.poll_until(lambda: look(made), kind=preset, timeout='10m', history=history)
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            made = pool.map(create, LENGTHS) if create else created(vendor, key)
            list(pool.map(wait, made))
    return f'| | `poll_until(…)`, Python | {report(key)} |'

def in_typescript(vendor):
    _, _, _, preset, mount, kind, _ = vendor
    status = f'{ORIGIN}/dialects/{mount}' + PRESETS[preset]['status'].replace('{+kind}', kind).replace('{kind}', kind)
    script = pathlib.Path(__file__).with_name('_waits.mjs')
    with subprocess.Popen(['node', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as node:
        for way in ('ts-first', 'ts'):
            key = key_of(preset, way)
            urls = [status.replace('{+id}', id).replace('{id}', id) for id in created(vendor, key)]
            print(json.dumps({'kind': preset, 'urls': urls, 'headers': headers_of(preset, key)}), file=node.stdin, flush=True)
            assert node.stdout.readline() == 'ended\n'
        node.stdin.close()
    return f'| | `pollUntil(…)`, TypeScript | {report(key)} |'

def ours(vendor):
    name, _, _, preset, mount, kind, body = vendor
    url = f'{ORIGIN}/dialects/{mount}'
    with tempfile.TemporaryDirectory() as state:
        for way in ('first', 'ours'):
            key = key_of(preset, way)
            ids = created(vendor, key)
            words = [ABIDE, 'wait', *ids, '--remote', preset, '--server', url, '--state-dir', state, *(['--kind', kind] if kind else [])]
            subprocess.run(words, env={**os.environ, 'ABIDE_REMOTE_KEY': key}, check=True, capture_output=True)
    return f'| | `abide wait --remote {preset}` | {report(key)} |'

try:
    # Each SDK is imported alone: two at once may meet in one another's imports.
    with concurrent.futures.ThreadPoolExecutor(3 * len(VENDORS)) as pool:
        # Some SDKs keep their key in the module, so those who use one come one after the other.
        by_sdk = lambda vendor: [own(vendor), in_python(vendor)]
        rows = [[pool.submit(by_sdk, vendor), pool.submit(ours, vendor), pool.submit(in_typescript, vendor)] for vendor in VENDORS]
        table = []
        for sdk, command, typescript in rows:
            theirs, python = sdk.result()
            table += [theirs, command.result(), python, typescript.result()]
    print('| SDK | way | requests a job | seconds late | cost / bound | grade |\n|---|---|---|---|---|---|')
    print('\n'.join(table), flush=True)
finally: server.terminate()
