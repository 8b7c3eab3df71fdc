// Every word of the page: key|English|繁體中文|简体中文, a line each; English only where it is not the key, 简体中文 only where it differs. {names} are filled in.

export const LANGUAGES = { en: 'English', 'zh-TW': '繁體中文', 'zh-CN': '简体中文' };

export const WORDS = Object.fromEntries(`
abilities||能力
account|Account|帳戶|账户
actions||動作|操作
activity|Activity|活動|活动
Add||新增|添加
Add model||新增模型|添加模型
added||加入時間|添加时间
again|Ask again|重新回答
aliases|Further names|其他名稱|其他名称
aliasesHint|Separated by commas.|以逗號分隔|用逗号分隔
Another parameter||其他參數|其他参数
Answer||回答
answered|The answer is complete.|回答完成
applied|models.yaml counts|套用 models.yaml|应用 models.yaml
As a table||以表格顯示|以表格显示
Attach||附加檔案|添加附件
automatic||自動|自动
balance|Points left|剩餘點數|剩余积分
bot|Bot on Poe|Poe 上的 bot
bot protocol||bot 協定|bot 协议
brokeOff|The answer broke off.|回答中斷了|回答中断了
byOwner|Group by owner|依擁有者分組|按所有者分组
byServer|As the server does|依伺服器設定|按服务器设置
Cancel||取消
changes|Unsaved changes|未儲存的變更|未保存的更改
chart|Points used on each of {n} days; at most {most}|{n} 天每日使用的點數，最多 {most}|{n} 天每日使用的积分，最多 {most}
client||用戶端|客户端
Close||關閉|关闭
code.insufficient_quota||點數不足：|积分不足：
code.invalid_api_key||金鑰無效：|密钥无效：
code.model_not_found||沒有此模型：|没有此模型：
code.rate_limit_exceeded||請求過於頻繁：|请求过于频繁：
code.upstream_error||Poe 發生錯誤：|Poe 发生错误：
conflict|Somebody else has saved|設定已被他人更改|配置已被他人更改
conflictText|Load the new models.yaml and make your {n} changes to it again?|要載入新的 models.yaml 並重新套用您的 {n} 項變更嗎？|要加载新的 models.yaml 并重新应用您的 {n} 项更改吗？
context||上下文
Conversation||對話|对话
Copied||已複製|已复制
Copy||複製|复制
Copy name||複製名稱|复制名称
counter.connections|open|開啟|打开
counter.dead|dead links|失效連結|失效链接
counter.evictions|evicted|逐出|淘汰
counter.hits|hits|命中
counter.joined|joined|合併|合并
counter.limiter|Rate limiter|速率限制
counter.misses|misses|未命中
counter.pool|Connections|連線|连接
counter.queued|waiting|等待
counter.refused|refused|拒絕|拒绝
counter.running|running|進行中|进行中
counter.uploads|Upload cache|上傳快取|上传缓存
counter.waited|waited|等待
Counters||計數|计数
customHint|A bot that Poe’s list does not name.|Poe 清單中沒有的 bot|Poe 列表中没有的 bot
Day||日期
Description||說明|说明
Details||詳情|详情
disableSelected|Disable {n} selected|停用所選 {n} 個|停用所选 {n} 个
disableShown|Disable {n} shown|停用顯示的 {n} 個|停用显示的 {n} 个
Download||下載|下载
dropMine|Load, drop mine|載入並捨棄我的變更|加载并放弃我的更改
duration||耗時|耗时
enableSelected|Enable {n} selected|啟用所選 {n} 個|启用所选 {n} 个
enableShown|Enable {n} shown|啟用顯示的 {n} 個|启用显示的 {n} 个
endpoint||端點|端点
errors||錯誤|错误
Errors only||僅顯示錯誤|仅显示错误
exists|{name} is in the list already|{name} 已在清單中|{name} 已在列表中
facts|About it|相關資訊|相关信息
fileHint|Replaces the whole file; the one before stays as models.yaml.bak. Masked secrets stay as they are.|會取代整個檔案，前一版保留為 models.yaml.bak。已遮蔽的金鑰維持不變|会替换整个文件，上一版保留为 models.yaml.bak。已遮蔽的密钥保持不变
fileUnsaved|Unsaved changes of the page get lost.|頁面上未儲存的變更將會遺失|页面上未保存的更改将会丢失
Filters||篩選|筛选
firstByte|first byte|首位元組|首字节
firstToken|first token {time}|首個 token {time}|首个 token {time}
Forget||清除
Health||狀態|状态
in the prompt||寫入提示|写入提示
inspection|Keep texts|記錄內容|记录内容
inspectionHint|Until it is switched off, texts are kept in memory, redacted, for all who can open this page.|請求與回答的內容遮蔽後存於記憶體，能開啟此頁的人都看得到；關閉即清除|请求与回答的内容遮蔽后存于内存，能打开此页的人都看得到；关闭即清除
is.changed|changed|已變更|已更改
is.custom|custom|自訂|自定义
is.disabled|disabled|已停用
is.enabled|enabled|已啟用|已启用
is.mapped|renamed|已改名
is.paints|makes images|產生圖片|生成图片
is.preset|parameters set|已設參數|已设参数
is.replace|rewrites|會改寫|会改写
is.sees|sees images|看圖|看图
is.sound|audio|音訊|音频
is.tools|tools|工具
is.video|video|影片|视频
is.web|web search|網路搜尋|联网搜索
keyHint|put your own key in place of KEY|請將 KEY 換成您的金鑰|请将 KEY 换成您的密钥
Language||語言|语言
loading|Loading…|載入中…|加载中…
Longest answer||最長回答|最长回答
Look||查詢|查询
meaning||意義|含义
Memory||記憶體|内存
model|Model|模型
models|Models|模型
name||名稱|名称
needsKey|A Poe key shows its points here.|輸入 Poe 金鑰即可查看點數|输入 Poe 密钥即可查看积分
needsModel|Choose a model first.|請先選擇模型|请先选择模型
needsName|A name is needed.|需要名稱|需要名称
New||新對話|新对话
noKey|No key yet|尚無金鑰|尚无密钥
not set||未設定|未设置
notApplied|models.yaml does not count: every bot is served under its own name.|未套用 models.yaml：所有 bot 皆以原名提供|未应用 models.yaml：所有 bot 均以原名提供
nothing|Nothing here.|沒有項目|没有项目
notSetBut|not set (Poe: {value})|未設定（Poe：{value}）|未设置（Poe：{value}）
off||關|关
on||開|开
openLink|Open {name}|開啟 {name}|打开 {name}
Options||選項|选项
order.context|Longest context|上下文最長|上下文最长
order.created|Newest|最新
order.name|Name|名稱|名称
order.price|Cheapest|最便宜
owner|Owner|擁有者|所有者
Parameters||參數|参数
partial|Older days are missing.|較早的日子未列出|较早的日子未列出
picture||圖片|图片
Poe key||Poe 金鑰|Poe 密钥
poeKeyHint|Kept in this browser tab only.|僅保存在此瀏覽器分頁|仅保存在此浏览器标签页
Points||點數|积分
presets|Default parameters|預設參數|默认参数
presetsHint|Sent with every request that does not set them itself.|請求未自行設定時一律傳送|请求未自行设置时一律发送
price|price per M|每百萬價格|每百万价格
read-only||唯讀|只读
reapplied|Your changes stand on the new file. Look at them and save.|已在新檔案上重新套用您的變更，請檢查後儲存|已在新文件上重新应用您的更改，请检查后保存
reapply|Load, keep mine|載入並保留我的變更|加载并保留我的更改
Reasoning||思考過程|思考过程
reloaded|Loaded anew.|已重新載入|已重新加载
Remove model||移除模型
removed||已移除
removeOne|Remove {name}|移除 {name}
rename|Name for clients|對外名稱|对外名称
renameHint|Listed under this name; empty: its own.|以此名稱列出；留空則用原名|以此名称列出；留空则用原名
replace|Rewrites its answer|會改寫回答|会改写回答
replaceAnyway|Replace anyway|仍要取代|仍要替换
replaceFile|Save file|儲存檔案|保存文件
replaceHint|Clients get the last version.|用戶端取得最後版本|客户端获得最后版本
Request||請求|请求
requests||請求|请求
retry|Try again|重試|重试
Route||路徑|路由
running||進行中|进行中
runningNow|{n} running|{n} 個進行中|{n} 个进行中
Save||儲存|保存
saved|Saved and in force.|已儲存並生效|已保存并生效
sayHint|Say something – Enter sends, Shift+Enter is a new line|輸入訊息（Enter 傳送，Shift+Enter 換行）|输入消息（Enter 发送，Shift+Enter 换行）
searchModels|Search models  ( / )|搜尋模型 ( / )|搜索模型 ( / )
searchRequests|Search requests  ( / )|搜尋請求 ( / )|搜索请求 ( / )
Sections||區段|栏目
Select none||清除選取|清除选择
selected||選取|选择
selectOne|Select {name}|選取 {name}|选择 {name}
Send||傳送|发送
served||提供
serverKey|The server’s key is used|使用伺服器的金鑰|使用服务器的密钥
settings|Settings|設定|设置
settingsHint|As in force. Secrets are masked.|目前生效的設定。金鑰已遮蔽|当前生效的设置。密钥已遮蔽
shell||終端機|终端
Show||檢視|查看
shownOf|{n} of {all} models|{n} / {all} 個模型|{n} / {all} 个模型
showPicture|Show {name}|顯示 {name}|显示 {name}
skip|Skip to content|跳到內容|跳到内容
sort|Order|排序
source||來源|来源
source.default|default|預設|默认
source.environment|environment|環境變數|环境变量
source.file|file|檔案|文件
source.flag|flag|命令列|命令行
sourceCache|Poe could not be asked: the list is {age} old.|無法連上 Poe：清單為 {age} 前的版本|无法连接 Poe：列表为 {age} 前的版本
sourceNone|Poe could not be asked: only the models of models.yaml are listed.|無法連上 Poe：僅列出 models.yaml 中的模型|无法连接 Poe：仅列出 models.yaml 中的模型
spent|Used in {n} days|{n} 天用量
state.broken|broken|損壞|损坏
state.config_broken|models.yaml broken|models.yaml 損壞|models.yaml 损坏
state.draining|going down|正在停止
state.good|good|正常
state.none|none|無|无
state.ready|ready|就緒|就绪
status||狀態|状态
Stop||停止
Stopped.||已停止
stream||串流|流式
suffixes|Names with reasoning suffixes|推理後綴名稱|推理后缀名称
suffixesHint|Such as {name}-high.|例如 {name}-high
Switch on||開啟|开启
system|System prompt|系統提示|系统提示
Takes → makes||輸入 → 輸出|输入 → 输出
Theme||主題|主题
theme.auto|Auto|自動|自动
theme.dark|Dark|深色
theme.light|Light|淺色|浅色
thoughtTokens|{n} of them thought|其中思考 {n}
time||時間|时间
tokensIn|tokens in|輸入 tokens|输入 tokens
tokensOut|tokens out|輸出 tokens|输出 tokens
toolsNative|Poe’s own (native)|Poe 原生
toolsWay|How tools reach it|工具傳遞方式|工具传递方式
topBots|Where they went|點數用途|积分去向
total|total {time}|總計 {time}|总计 {time}
Totals||總計|总计
try|Try it|試用|试用
tryHint|Choose a model, say something, and watch the answer come.|選擇模型並輸入訊息，即可看到回答|选择模型并输入消息，即可看到回答
Undo||復原|撤销
Undo all||全部復原|全部撤销
unfit|{name} does not fit: {kind} {range}|{name} 不符合：{kind} {range}
unreachable|The server does not answer: {error}|伺服器沒有回應：{error}|服务器没有响应：{error}
unsaved|Unsaved changes: {n}|未儲存的變更：{n}|未保存的更改：{n}
upFor|for {time}|已運作 {time}|已运行 {time}
Upload||上傳|上传
usage|Points a day|每日點數|每日积分
Use elsewhere||用於其他程式|用于其他程序
value||值
Version||版本
warning.config_broken|models.yaml is broken: the last good one counts, if any.|models.yaml 損壞：沿用上一份正常的設定（若有）|models.yaml 损坏：沿用上一份正常的配置（若有）
warning.default_password|The password is the built-in one: set ADMIN_PASSWORD.|仍在使用內建密碼：請設定 ADMIN_PASSWORD|仍在使用内置密码：请设置 ADMIN_PASSWORD
Way to Poe||連線 Poe 的方式|连接 Poe 的方式
You||您
Your message||您的訊息|您的消息
`.trim().split('\n').map((line) => line.split('|')).map(([key, en, tw, cn = tw]) => [key, [en || key, tw, cn]]));

let column = 0;

export function setLanguage(name) {
	column = Math.max(0, Object.keys(LANGUAGES).indexOf(name));
}

export const number = (value) => (value == null ? '–' : new Intl.NumberFormat(Object.keys(LANGUAGES)[column]).format(value));

/** The words for a key, filled in, with numbers as the language writes them; a key that nobody knows shows as itself. */
export function t(key, values = {}) {
	const words = Object.hasOwn(WORDS, key) ? WORDS[key][column] : key;
	return words.replace(/\{(\w+)\}/g, (hole, name) => (typeof values[name] === 'number' ? number(values[name]) : values[name] ?? hole));
}
